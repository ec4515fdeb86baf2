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

/// What a [`RequestKey`] is stored under: its route, its owner, its key.
pub type RequestName = (&'static str, UserId, Arc<str>);

impl RequestKey {
    /// The route, the owner and the key.
    pub fn name(&self) -> RequestName {
        (self.route, self.owner, self.key.key.clone())
    }

    /// What the request's key means, by the record that is stored under its name.
    pub fn meets(&self, record: Option<&RequestRecord>, now: Timestamp) -> Claim<()> {
        match record {
            Some(record) if record.created_at + IdempotencyRecord::KEPT_FOR > now => {
                let is_repeat = record.request.key.request_hash == self.key.request_hash;
                if is_repeat { Claim::Made(record.made) } else { Claim::Reused }
            }
            _ => Claim::New(()),
        }
    }
}

/// What a request with a key made or changed, at a route other than `POST /bookings`; kept 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestKey,
    /// The number of what it made or changed.
    pub made: i64,
    /// When.
    pub created_at: Timestamp,
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
