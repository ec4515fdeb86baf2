//! Identifiers, each of its own type, so that a user id can't be passed as a flight id.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
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

/// An id of 128 bits, written as a prefix and 32 lower-case hexadecimal digits.
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with exactly these bits, for tests.
            pub fn from_bits(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = ParseReferenceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = ParseReferenceError($prefix);
                let digits = text.strip_prefix($prefix).filter(|digits| digits.len() == 32);
                digits.and_then(|digits| Uuid::try_parse(digits).ok()).map(Self).ok_or(error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The text is not the prefix and 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("must be {0} and 32 hexadecimal digits")]
pub struct ParseReferenceError(&'static str);

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

numeric_id! {
    /// Id of an entry of a waiting list, and of the booking that it may become.
    WaitlistId
}

numeric_id! {
    /// Id of a webhook.
    WebhookId
}
numeric_id! {
    /// Id of a delivery of an event to a webhook.
    DeliveryId
}

impl WaitlistId {
    /// The booking that the entry may become.
    pub const fn booking(self) -> BookingId {
        BookingId(self.0)
    }
}

impl From<BookingId> for WaitlistId {
    fn from(booking: BookingId) -> Self {
        Self(booking.0)
    }
}

prefixed_id! {
    /// Reference of a payment, here and at the gateway, where it is also the idempotency key.
    PaymentReference, "PAY-"
}

impl PaymentReference {
    /// Draws a fresh reference: the time in milliseconds, then 74 random bits (UUID version 7).
    ///
    /// References drawn one after the other are neighbours in an index, so a batch touches few pages.
    pub fn draw(now: Timestamp) -> Self {
        let seconds = now.timestamp().unsigned_abs();
        let time = uuid::Timestamp::from_unix_time(seconds, now.timestamp_subsec_nanos(), 0, 0);
        Self(Uuid::new_v7(time))
    }

    /// The reference of an order's further attempt: the first 16 bytes of the SHA-256 of `attempt/FIRST/ATTEMPT`,
    /// such as `attempt/PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51/2`. A command that is decided again names the same.
    pub fn of_attempt(first: Self, attempt: i32) -> Self {
        Self(digest(&format!("attempt/{first}/{attempt}")))
    }
}

prefixed_id! {
    /// Id of a refund, here and at the gateway, where it is also the idempotency key.
    RefundId, "REF-"
}

impl RefundId {
    /// The id of the refund that a change of a booking makes: the first 16 bytes of the SHA-256 of
    /// `refund/BOOKING/VERSION/PAYMENT`, such as `refund/42/3/PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51`.
    ///
    /// `booking_version` is the version that the change is decided on. A command that is decided again, or
    /// repeated after a commit with an unknown outcome, names the same refund.
    pub fn of(booking: BookingId, booking_version: i64, payment: PaymentReference) -> Self {
        Self(digest(&format!("refund/{booking}/{booking_version}/{payment}")))
    }

    /// The id of the refund that a lost dispute made: the first 16 bytes of the SHA-256 of `dispute/PAYMENT`.
    pub fn of_dispute(payment: PaymentReference) -> Self {
        Self(digest(&format!("dispute/{payment}")))
    }
}

/// The first 16 bytes of a text's SHA-256.
fn digest(text: &str) -> Uuid {
    let digest = Sha256::digest(text);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_booking_names_one_refund_and_every_other_change_another() {
        let (booking, payment) = (BookingId(42), PaymentReference::from_bits(7));
        let refund = RefundId::of(booking, 3, payment);
        // By `printf refund/42/3/PAY-00000000000000000000000000000007 | sha256sum | head -c 32`.
        assert_eq!(refund.to_string(), "REF-d344312184a2acb561875be7bcd7fb9c");
        assert_eq!(RefundId::of(booking, 3, payment), refund);
        for other in [
            RefundId::of(BookingId(43), 3, payment),
            RefundId::of(booking, 4, payment),
            RefundId::of(booking, 3, PaymentReference::from_bits(8)),
            RefundId::of(BookingId(4), 23, payment),
        ] {
            assert_ne!(other, refund);
        }
    }

    #[test]
    fn an_id_is_read_only_with_its_own_prefix_and_32_digits() {
        let refund = RefundId::from_bits(0xabc);
        assert_eq!(refund.to_string().parse::<RefundId>().expect("an id"), refund);
        let digits = "0".repeat(32);
        for text in
            [format!("PAY-{digits}"), digits.clone(), format!("REF-{digits}0"), "REF-".into()]
        {
            assert!(text.parse::<RefundId>().is_err(), "{text}");
        }
        assert!(format!("REF-{digits}").parse::<PaymentReference>().is_err());
    }
}
