//! The messages on the topics: the contract with other teams, encoded and decoded. Pure.

mod dead_letter;
mod encode;
mod signature;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use dead_letter::{Digest, Original, Reason};
pub use encode::{
    Headers, MalformedMessage, parse_payment_event, parse_payment_request, parse_seats_moved,
};
pub use signature::{SIGNATURE, Signatures};

/// The topics of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Requests to the payment worker, or to another team's payment service.
    PaymentRequests,
    /// What the gateway did.
    PaymentEvents,
    /// Seats sold and returned, for inventory systems.
    FlightBookings,
    /// Flights and bookings after each change.
    AirlineEvents,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 4] =
        [Self::PaymentRequests, Self::PaymentEvents, Self::FlightBookings, Self::AirlineEvents];

    /// Default name, which also marks its messages in the outbox.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentRequests => "payment-requests",
            Self::PaymentEvents => "payment-events",
            Self::FlightBookings => "flight-bookings",
            Self::AirlineEvents => "airline-events",
        }
    }
}

/// A message. Messages with equal keys keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Id of a booking or a flight.
    pub key: String,
    /// JSON.
    pub payload: String,
    /// `CloudEvents` attributes in binary mode (`ce_…`), and those of the topic.
    pub headers: Headers,
    /// Position in its topic, if it was received.
    #[serde(skip)]
    pub origin: Option<Origin>,
}

/// The position of a message in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The message as received, if text can't represent it.
    pub original: Option<Arc<Original>>,
    /// Why the message must be refused, whatever its content.
    pub fault: Option<&'static str>,
}

impl Origin {
    /// The position of a message that text represents exactly.
    pub const fn of_text(partition: i32, offset: i64) -> Self {
        Self { partition, offset, original: None, fault: None }
    }
}

impl Message {
    /// Why it must be refused: unreadable, unsigned, or wrongly signed.
    pub fn fault(&self) -> Option<&'static str> {
        self.origin.as_ref()?.fault
    }
}
