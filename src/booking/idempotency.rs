//! A caller's own name for a request, so that a repeat makes nothing new.

use crate::domain::{BookingId, Timestamp, UserId};
use std::sync::Arc;

/// A caller's name for a request, and what the request was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// As the `Idempotency-Key` header gave it.
    pub key: Arc<str>,
    /// SHA-256 of the request, in hexadecimal: the same key with another request is refused.
    pub request_hash: Arc<str>,
}

/// A caller's name for a request to a route other than `POST /bookings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The route's template: a key names one request of one route.
    pub route: &'static str,
    /// The body's user, else the token's, else 0.
    pub owner: UserId,
    /// The key and the request.
    pub key: IdempotencyKey,
}

impl RequestKey {
    /// What a key that is stored with this hash means for the request.
    pub fn meets<T>(&self, hash: &str, made: i64) -> Claim<T> {
        if *self.key.request_hash == *hash { Claim::Made(made) } else { Claim::Reused }
    }
}

/// What became of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim<T> {
    /// The key was free; this is what the request made.
    New(T),
    /// The same request made this number before.
    Made(i64),
    /// The key came with another request.
    Reused,
}

/// What a caller's key made; kept 24 hours. Refusals are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Who used the key.
    pub user_id: UserId,
    /// The key.
    pub key: Arc<str>,
    /// What was asked.
    pub request_hash: Arc<str>,
    /// What it made.
    pub booking_id: BookingId,
    /// When.
    pub created_at: Timestamp,
}

impl IdempotencyRecord {
    /// How long a record is remembered.
    pub const KEPT_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(24);

    /// The user and the key: each user has keys of its own.
    pub fn name(&self) -> (UserId, Arc<str>) {
        (self.user_id, self.key.clone())
    }
}
