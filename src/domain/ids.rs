//! Identifiers, each of its own type, so that a user id can't be passed as a flight id.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = i64, minimum = 1)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id! {
    /// Id of a flight.
    FlightId
}

/// Flights of one command or order, each once; nearly always one.
pub type FlightIds = SmallVec<[FlightId; 1]>;

/// Bookings of one order, in the order of their segments; nearly always one.
pub type BookingIds = SmallVec<[BookingId; 1]>;

numeric_id! {
    /// Id of a booking.
    BookingId
}
numeric_id! {
    /// Id of a user. Users are managed elsewhere.
    UserId
}

/// Reference of a payment, here and at the gateway, where it is also the idempotency key.
///
/// Written `PAY-` and 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentReference(Uuid);

impl PaymentReference {
    /// Draws a fresh reference: the time in milliseconds, then 74 random bits (UUID version 7).
    ///
    /// References drawn one after the other are neighbours in an index, so a batch touches few pages.
    pub fn draw(now: Timestamp) -> Self {
        let seconds = now.timestamp().unsigned_abs();
        let time = uuid::Timestamp::from_unix_time(seconds, now.timestamp_subsec_nanos(), 0, 0);
        Self(Uuid::new_v7(time))
    }

    /// The reference with exactly these bits, for tests.
    pub fn from_bits(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }
}

impl fmt::Display for PaymentReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PAY-{}", self.0.simple())
    }
}

/// The text is not `PAY-` and 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a payment reference is PAY- and 32 hexadecimal digits")]
pub struct ParseReferenceError;

impl FromStr for PaymentReference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("PAY-").ok_or(ParseReferenceError)?;
        if digits.len() != 32 {
            return Err(ParseReferenceError);
        }
        Uuid::try_parse(digits).map(Self).map_err(|_| ParseReferenceError)
    }
}

impl Serialize for PaymentReference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PaymentReference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
