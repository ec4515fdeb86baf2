//! Corrections of a passenger's contact data, which a booking keeps a history of.

use super::{BookingId, Timestamp};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The fields of a passenger to correct; the others keep their values. Personal data: never logged, never on a topic.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct PassengerPatch {
    /// Full name, 1 to 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// E-mail address for tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Arc<str>>,
    /// Digits, with an optional plus, spaces, hyphens, dots and brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Arc<str>>,
}

impl fmt::Debug for PassengerPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassengerPatch(redacted)")
    }
}

/// A correction to write: the store replaces the fields, and keeps what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassengerChange {
    /// The booking.
    pub booking_id: BookingId,
    /// The booking's version after the correction.
    pub version: i64,
    /// The passenger's place in the booking, from 0.
    pub place: u16,
    /// The new values.
    pub patch: PassengerPatch,
    /// When it is made.
    pub at: Timestamp,
}

/// A correction that was made, without its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassengerChanged {
    /// The passenger's place in the booking, from 0.
    pub place: u16,
    /// When it was made.
    pub at: Timestamp,
}
