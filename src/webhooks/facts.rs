//! Events, as messages of `airline-events` name them, and their content, which comes from rows.
//!
//! Other systems may be able to write to the topic. So a message is a reason to look: its type and id are taken from
//! it, everything else is read, and what the rows contradict is dropped.

use super::registry::payload;
use crate::domain::{
    ATTEMPTS_MAX, AirlineEvent, Booking, BookingId, BookingStatus, Flight, FlightId, FlightStatus,
    PaymentReference, RefundId, Timestamp, WaitlistId, Webhook,
};
use crate::messages::Message;
use crate::store::EventRows;
use std::collections::{HashMap, HashSet};

/// An event as its message names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// `TYPE/SUBJECT`, or `TYPE/SUBJECT/VERSION` of a type that a subject can have twice.
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) subject: Subject,
    version: Option<i64>,
    /// When it happened, as the message says.
    at: Option<Timestamp>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Flight(FlightId),
    Booking(BookingId),
    Order(BookingId),
    /// With its booking.
    Refund(RefundId, BookingId),
    Entry(WaitlistId),
    /// A payment, with a booking that it pays.
    Dispute(PaymentReference, BookingId),
    /// A change of flight that ended, with the booking that held the seats for it.
    Change {
        booking: BookingId,
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

/// An event with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// The flight in whose order it is delivered.
    pub(super) flight: FlightId,
    /// The body to send.
    pub(super) payload: String,
}

impl Named {
    /// The event of a message; `None` if it names none that webhooks can take.
    pub(super) fn of(message: &Message) -> Option<Self> {
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
        Some(Self { id: id.to_owned(), kind, subject, version, at })
    }

    /// Whether a webhook takes it: by its type, and unless it happened before the webhook was made.
    pub(super) fn is_for(&self, webhook: &Webhook) -> bool {
        webhook.takes(self.kind) && self.at.is_none_or(|at| at >= webhook.created_at)
    }

    /// Whether it names a version that the row, now at this one, has had.
    pub(super) fn has_been(&self, version: i64) -> bool {
        self.version.is_some_and(|named| (1..=version).contains(&named))
    }

    /// Whether it names this version.
    pub(super) fn is_version(&self, version: i64) -> bool {
        self.version == Some(version)
    }
}

/// A number in its only notation.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The rows of some events, by id, and which payments were captured.
pub(super) struct Known {
    flights: HashMap<FlightId, Flight>,
    bookings: HashMap<BookingId, Booking>,
    captured: HashSet<PaymentReference>,
    /// The content of events that name other rows, by the event's id.
    others: HashMap<String, Fact>,
}

impl Known {
    pub(super) fn of(
        rows: EventRows,
        captured: HashSet<PaymentReference>,
        others: HashMap<String, Fact>,
    ) -> Self {
        Self {
            flights: rows.flights.into_iter().map(|flight| (flight.id, flight)).collect(),
            bookings: rows.bookings.into_iter().map(|booking| (booking.id, booking)).collect(),
            captured,
            others,
        }
    }

    /// The event's content; `None` if the rows contradict it.
    pub(super) fn fact(&self, named: &Named) -> Option<Fact> {
        match named.subject {
            Subject::Flight(id) => flight_fact(named, self.flights.get(&id)?),
            Subject::Booking(id) => {
                let booking = self.bookings.get(&id)?;
                let was_paid = references(booking).iter().any(|its| self.captured.contains(its));
                booking_fact(named, booking, was_paid)
            }
            _ => self.others.get(&named.id).cloned(),
        }
    }
}

/// The payments that may have paid a booking: the attempts of its order.
pub(super) fn references(booking: &Booking) -> Vec<PaymentReference> {
    let first = booking.payment_reference;
    let further = (2..=ATTEMPTS_MAX).map(|attempt| PaymentReference::of_attempt(first, attempt));
    std::iter::once(first).chain(further).collect()
}

/// Whether only its payments can tell if a booking was completed.
pub(super) fn needs_payments(named: &Named, booking: &Booking) -> bool {
    named.kind == "booking.completed" && booking.status == BookingStatus::Cancelled
}

fn flight_fact(named: &Named, flight: &Flight) -> Option<Fact> {
    let is_true = named.has_been(flight.version)
        && match named.kind {
            "flight.cancelled" => flight.flight_status == FlightStatus::Cancelled,
            _ => true,
        };
    let at = if named.kind == "flight.created" { flight.created_at } else { flight.updated_at };
    is_true.then(|| fact(named, flight.id, at, serde_json::to_value(flight)))
}

fn booking_fact(named: &Named, booking: &Booking, was_paid: bool) -> Option<Fact> {
    let is_true = match (named.kind, booking.status) {
        ("booking.completed", BookingStatus::Completed)
        | ("booking.failed", BookingStatus::Failed)
        | ("booking.cancelled", BookingStatus::Cancelled) => named.version.is_none(),
        ("booking.completed", BookingStatus::Cancelled) => named.version.is_none() && was_paid,
        ("booking.held" | "booking.changed", _) => named.has_been(booking.version),
        _ => false,
    };
    let data = serde_json::to_value(booking.without_passengers());
    (is_true && booking.replaces.is_none())
        .then(|| fact(named, booking.flight_id, booking.updated_at, data))
}

pub(super) fn fact(
    named: &Named,
    flight: FlightId,
    at: Timestamp,
    data: serde_json::Result<serde_json::Value>,
) -> Fact {
    let data = data.expect("structs of texts and numbers are always JSON");
    Fact { flight, payload: payload(named.kind, at, &data) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Headers;
    use serde_json::json;

    fn message(kind: &str, id: &str) -> Message {
        let headers = Headers::from_iter([("ce_type", kind), ("ce_id", id)]);
        Message { key: "2".into(), payload: "{\"id\": 99}".into(), headers, origin: None }
    }

    fn booking(status: &str, version: i64) -> Booking {
        let booking: Booking = serde_json::from_value(json!({
            "id": 1, "itinerary_id": 1, "segment": 1, "booking_taxes": 0.00, "fee": 0.00, "fare_rules": "free", "flight_id": 2, "user_id": 3, "status": status,
            "payment_reference_id": format!("PAY-{:032x}", 4), "booking_price": 2500.00,
            "seats_booked": 1, "hold_expires_at": "2025-01-15T10:05:00Z",
            "created_at": "2025-01-15T10:00:00Z", "updated_at": "2025-01-15T10:00:01Z",
        }))
        .expect("a booking");
        Booking { version, ..booking }
    }

    fn told(kind: &str, id: &str, booking: Booking, captured: &[PaymentReference]) -> bool {
        let rows = EventRows { bookings: vec![booking], flights: Vec::new() };
        let known = Known::of(rows, captured.iter().copied().collect(), HashMap::new());
        Named::of(&message(kind, id)).is_some_and(|named| known.fact(&named).is_some())
    }

    #[test]
    fn the_content_comes_from_the_row_and_not_from_the_message() {
        let known = Known::of(
            EventRows { bookings: vec![booking("completed", 2)], flights: Vec::new() },
            HashSet::new(),
            HashMap::new(),
        );
        let named = Named::of(&message("booking.completed", "booking.completed/1")).expect("known");
        let fact = known.fact(&named).expect("true");
        let body: serde_json::Value = serde_json::from_str(&fact.payload).expect("JSON");
        assert_eq!(fact.flight, FlightId(2));
        assert_eq!(body["type"], "booking.completed");
        assert_eq!(body["timestamp"], "2025-01-15T10:00:01Z");
        assert_eq!(
            (&body["data"]["id"], &body["data"]["status"]),
            (&json!(1), &json!("completed"))
        );
        assert_eq!(body["data"]["booking_metadata"], json!(null));
    }

    #[test]
    fn what_the_rows_contradict_is_not_told() {
        let completed = || booking("completed", 3);
        assert!(told("booking.completed", "booking.completed/1", completed(), &[]));
        assert!(told("booking.changed", "booking.changed/1/3", completed(), &[]));
        for (kind, id) in [
            ("booking.failed", "booking.failed/1"),
            ("booking.cancelled", "booking.cancelled/1"),
            ("booking.completed", "booking.completed/9"),
            ("booking.completed", "booking.completed/1/1"),
            ("booking.completed", "booking.completed/01"),
            ("booking.completed", "booking.failed/1"),
            ("booking.completed", "booking.completed/1/2/3"),
            ("booking.changed", "booking.changed/1"),
            ("booking.changed", "booking.changed/1/4"),
            ("booking.changed", "booking.changed/1/0"),
            ("payment.completed", "payment.completed/1"),
        ] {
            assert!(!told(kind, id, completed(), &[]), "{kind} {id}");
        }
    }

    #[test]
    fn a_cancelled_booking_was_completed_if_one_of_its_attempts_was_captured() {
        let told = |captured: &[PaymentReference]| {
            told("booking.completed", "booking.completed/1", booking("cancelled", 4), captured)
        };
        let first = PaymentReference::from_bits(4);
        assert!(!told(&[]));
        assert!(told(&[first]));
        assert!(told(&[PaymentReference::of_attempt(first, 3)]));
        assert!(!told(&[PaymentReference::from_bits(5)]));
    }
}
