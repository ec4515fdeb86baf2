//! The messages on the topics: the contract with other teams, encoded and decoded. Pure.

mod dead_letter;
mod encode;
mod signature;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use dead_letter::{Digest, Original, Reason};
pub use encode::{Headers, MalformedMessage, parse_payment_event, parse_payment_request};
pub use signature::{SIGNATURE, Signatures};

/// The streams that the service writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// What the payment worker, or another team's provider, is to do.
    PaymentRequests,
    /// What it did.
    PaymentEvents,
    /// Seats sold and given back, for inventory systems.
    FlightBookings,
    /// Flights and bookings after each change.
    AirlineEvents,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 4] =
        [Self::PaymentRequests, Self::PaymentEvents, Self::FlightBookings, Self::AirlineEvents];

    /// Its default name, which also marks its messages in the outbox.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentRequests => "payment-requests",
            Self::PaymentEvents => "payment-events",
            Self::FlightBookings => "flight-bookings",
            Self::AirlineEvents => "airline-events",
        }
    }
}

/// One message; its key decides the order, which is kept among equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// A booking's or a flight's number.
    pub key: String,
    /// JSON.
    pub payload: String,
    /// `CloudEvents` attributes in binary mode (`ce_…`), and more as the topic needs.
    pub headers: Headers,
    /// Where it was received from, if it was written somewhere.
    #[serde(skip)]
    pub origin: Option<Origin>,
}

/// A message's place in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The partition.
    pub partition: i32,
    /// The message's number in it.
    pub offset: i64,
    /// What was received, where text does not say it exactly.
    pub original: Option<Arc<Original>>,
    /// Why the message must not be believed, whatever it says.
    pub fault: Option<&'static str>,
}

impl Origin {
    /// The place of a message that is exactly its text.
    pub const fn of_text(partition: i32, offset: i64) -> Self {
        Self { partition, offset, original: None, fault: None }
    }
}

impl Message {
    /// Why it must not be believed: not readable, not signed, or wrongly so.
    pub fn fault(&self) -> Option<&'static str> {
        self.origin.as_ref()?.fault
    }
}
