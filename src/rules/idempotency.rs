//! Idempotency keys: a caller's name for a request, so that a repeat makes nothing new.

use super::{Refusal, State};
use crate::domain::{BookingId, Timestamp, UserId};
use std::sync::Arc;

/// A caller's key, and a hash of the request that it names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The key, as in the `Idempotency-Key` header.
    pub key: Arc<str>,
    /// SHA-256 of the request, in hexadecimal. The same key with another hash is refused.
    pub request_hash: Arc<str>,
}

/// A caller's key for a request to a route other than `POST /bookings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The template of the route's path. Each route has keys of its own.
    pub route: &'static str,
    /// The user in the body, else in the token, else 0.
    pub owner: UserId,
    /// The key and the request.
    pub key: IdempotencyKey,
}

/// The name of a [`RequestKey`]'s record: route, owner, key.
pub type RequestName = (&'static str, UserId, Arc<str>);

impl RequestKey {
    /// The route, the owner and the key.
    pub fn name(&self) -> RequestName {
        (self.route, self.owner, self.key.key.clone())
    }

    /// What the key means, given the record of its name.
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

/// The record of a request to a route other than `POST /bookings`. Kept for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestKey,
    /// Id of what it made or changed.
    pub made: i64,
    /// When the request was carried out.
    pub created_at: Timestamp,
}

impl RequestRecord {
    /// The record to write for a request that changes what has this id; `None` without a key, and for a repeat.
    pub(super) fn of(
        request: Option<&RequestKey>,
        made: i64,
        state: &State,
        now: Timestamp,
    ) -> Result<Option<Self>, Refusal> {
        let Some(request) = request else { return Ok(None) };
        match request.meets(state.requests.get(&request.name()), now) {
            Claim::Reused => Err(Refusal::IdempotencyKeyReused),
            Claim::Made(_) => Ok(None),
            Claim::New(()) => Ok(Some(Self { request: request.clone(), made, created_at: now })),
        }
    }
}

/// What a request's key means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim<T> {
    /// The key is new; this is what the request made.
    New(T),
    /// A repeat: the first request made what has this id.
    Made(i64),
    /// An earlier, different request used the key.
    Reused,
}

impl Claim<()> {
    /// What the key means, unless it is new.
    pub fn unless_new<T>(self) -> Option<Claim<T>> {
        match self {
            Self::New(()) => None,
            Self::Made(id) => Some(Claim::Made(id)),
            Self::Reused => Some(Claim::Reused),
        }
    }
}

/// The record of a booking made with a key. Kept for 24 hours; refusals are not recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The user who sent the key.
    pub user_id: UserId,
    /// The key.
    pub key: Arc<str>,
    /// Hash of the request.
    pub request_hash: Arc<str>,
    /// The booking that the request made.
    pub booking_id: BookingId,
    /// When the request was carried out.
    pub created_at: Timestamp,
}

impl IdempotencyRecord {
    /// How long a record is kept.
    pub const KEPT_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(24);

    /// The record's name. Each user has keys of its own.
    pub fn name(&self) -> (UserId, Arc<str>) {
        (self.user_id, self.key.clone())
    }
}
