//! Events, as messages of `airline-events` name them, and their content, which comes from rows.
//!
//! Other systems may be able to write to the topic. So a message is a reason to look: its type and id are taken from
//! it, everything else is read, and what the rows contradict is dropped. Webhooks and the readers of the log use the
//! same look. Messages to travellers want more of a row before they are sent, and look in `notify`.

mod known;
mod rows;

use crate::domain::{
    AirlineEvent, BookingId, FlightId, PaymentReference, RefundId, Timestamp, WaitlistId,
};
use crate::messages::Message;
use serde_json::value::RawValue;

pub use known::read;

/// An event as its message names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// `TYPE/SUBJECT`, or `TYPE/SUBJECT/VERSION` of a type that a subject can have twice.
    pub id: String,
    /// The type, of [`AirlineEvent::KINDS`].
    pub kind: &'static str,
    /// When it happened, as the message says.
    pub at: Option<Timestamp>,
    /// What it is about.
    pub subject: Subject,
    /// The version of its row, of a type that a subject can have twice.
    pub version: Option<i64>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A flight.
    Flight(FlightId),
    /// A booking.
    Booking(BookingId),
    /// An order of several flights, by its first booking.
    Order(BookingId),
    /// A refund, with its booking.
    Refund(RefundId, BookingId),
    /// A party in a waiting list.
    Entry(WaitlistId),
    /// A payment, with a booking that it pays.
    Dispute(PaymentReference, BookingId),
    /// A change of flight that ended.
    Change {
        /// The booking that stayed as it was.
        booking: BookingId,
        /// The one that held the seats for it.
        replacement: BookingId,
    },
}

/// What a payload names beside the event's id.
#[derive(serde::Deserialize)]
struct Names {
    booking_id: BookingId,
}

impl Subject {
    /// The subject that an id names behind the type: `first`, and a number behind that.
    fn of(message: &Message, kind: &str, first: &str, version: Option<i64>) -> Option<Self> {
        let numbered = || number(first);
        let booking = || {
            let names: Names = serde_json::from_str(&message.payload).ok()?;
            Some(names.booking_id)
        };
        Some(match kind.split_once('.')?.0 {
            _ if kind == "booking.change_ended" => {
                Self::Change { booking: BookingId(numbered()?), replacement: BookingId(version?) }
            }
            "flight" => Self::Flight(FlightId(numbered()?)),
            "booking" => Self::Booking(BookingId(numbered()?)),
            "itinerary" => Self::Order(BookingId(numbered()?)),
            "refund" => Self::Refund(first.parse().ok()?, booking()?),
            "waitlist" => Self::Entry(WaitlistId(numbered()?)),
            "dispute" => Self::Dispute(first.parse().ok()?, booking()?),
            _ => return None,
        })
    }
}

/// What an event is about, and what the rows say of it.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The flight in whose order it is told.
    pub flight: FlightId,
    /// The booking that it is about: itself, the one that it names, or an order's first.
    pub booking: Option<BookingId>,
    /// When the row last changed.
    pub at: Timestamp,
    /// The row, without personal data, as answers show it: amounts keep their decimals.
    pub data: Box<RawValue>,
}

impl Fact {
    fn new(
        flight: FlightId,
        booking: Option<BookingId>,
        at: Timestamp,
        data: serde_json::Result<Box<RawValue>>,
    ) -> Self {
        let data = data.expect("structs of texts and numbers are always JSON");
        Self { flight, booking, at, data }
    }
}

impl Named {
    /// The event of a message; `None` if it names none.
    pub fn of(message: &Message) -> Option<Self> {
        let kind = message.headers.get("ce_type").filter(|_| message.fault().is_none())?;
        let kind = AirlineEvent::KINDS.iter().find(|known| **known == kind)?;
        let id = message.headers.get("ce_id")?;
        let mut parts = id.strip_prefix(kind)?.strip_prefix('/')?.split('/');
        let first = parts.next()?;
        let version = parts.next().map(number);
        if parts.next().is_some() || version == Some(None) {
            return None;
        }
        let version = version.flatten();
        let subject = Subject::of(message, kind, first, version)?;
        let at = message.headers.get("ce_time").and_then(|at| at.parse().ok());
        Some(Self { id: id.to_owned(), kind, at, subject, version })
    }

    /// Whether it names a version that the row, now at this one, has had.
    fn has_been(&self, version: i64) -> bool {
        self.version.is_some_and(|named| (1..=version).contains(&named))
    }

    /// Whether it names this version.
    fn is_version(&self, version: i64) -> bool {
        self.version == Some(version)
    }
}

/// A number in its only notation.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}
