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
