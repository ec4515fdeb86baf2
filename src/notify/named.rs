//! What a message of `airline-events` names. Anyone who can write to the topic can write anything else.

use crate::domain::{BookingId, FlightId, MessageKind, RefundId, Timestamp, WaitlistId};
use crate::messages::Message;
use serde::Deserialize;

/// The type, ids and time of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: MessageKind,
    pub(super) subject: Subject,
    /// The version in the event's id; 0 if there is none.
    pub(super) version: i64,
    /// When it happened.
    pub(super) at: Timestamp,
}

/// What the event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Booking(BookingId),
    Order(BookingId),
    Refund(RefundId, BookingId),
    Entry(WaitlistId),
    Flight(FlightId),
}

/// The members of a payload that name something.
#[derive(Debug, Default, Deserialize)]
struct Ids {
    id: Option<Id>,
    refund_id: Option<RefundId>,
    booking_id: Option<BookingId>,
    itinerary_id: Option<BookingId>,
    waitlist_id: Option<WaitlistId>,
    flight_id: Option<FlightId>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl Ids {
    fn number(&self) -> Option<i64> {
        match self.id {
            Some(Id::Number(number)) => Some(number),
            Some(Id::Text(_)) | None => None,
        }
    }

    fn refund(&self) -> Option<RefundId> {
        match &self.id {
            Some(Id::Text(text)) => text.parse().ok(),
            Some(Id::Number(_)) | None => None,
        }
    }

    fn subject(&self, kind: MessageKind) -> Option<Subject> {
        use MessageKind as Kind;
        Some(match kind {
            Kind::BookingHeld
            | Kind::BookingCompleted
            | Kind::BookingFailed
            | Kind::BookingCancelled
            | Kind::BookingChanged
            | Kind::ChangeEnded
            | Kind::DisputeOpened
            | Kind::DisputeWon
            | Kind::DisputeLost => {
                Subject::Booking(self.booking_id.or(self.number().map(BookingId))?)
            }
            Kind::OrderCompleted | Kind::OrderFailed | Kind::OrderCancelled => {
                Subject::Order(self.itinerary_id.or(self.number().map(BookingId))?)
            }
            Kind::RefundDone | Kind::RefundFailed => {
                Subject::Refund(self.refund_id.or(self.refund())?, self.booking_id?)
            }
            Kind::WaitlistOffered | Kind::WaitlistPromoted | Kind::WaitlistLapsed => {
                Subject::Entry(self.waitlist_id.or(self.number().map(WaitlistId))?)
            }
            Kind::FlightMoved => Subject::Flight(self.flight_id.or(self.number().map(FlightId))?),
        })
    }
}

impl Named {
    /// What a message names; `None` if no traveller hears of it: another type, unreadable, or wrongly signed.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if message.fault().is_some() {
            return None;
        }
        let kind: MessageKind = message.headers.get("ce_type")?.parse().ok()?;
        let ids: Ids = serde_json::from_str(&message.payload).ok()?;
        let id = message.headers.get("ce_id").unwrap_or_default();
        let version = id.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or_default();
        let at = message.headers.get("ce_time")?.parse().ok()?;
        Some(Self { kind, subject: ids.subject(kind)?, version, at })
    }

    /// The booking that it names, to be read.
    pub(super) fn booking(&self) -> Option<BookingId> {
        match self.subject {
            Subject::Booking(booking) => Some(booking),
            // An entry's id is also that of its booking.
            Subject::Entry(entry) => Some(entry.booking()),
            Subject::Order(_) | Subject::Refund(..) | Subject::Flight(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Headers;
    use serde_json::{Value, json};

    fn named(kind: &str, id: &str, payload: &Value) -> Option<Named> {
        let time = "2025-01-01T00:00:00Z";
        let headers = Headers::from_iter([("ce_type", kind), ("ce_id", id), ("ce_time", time)]);
        let payload = payload.to_string();
        Named::of(&Message { key: "1".into(), payload, headers, origin: None })
    }

    #[test]
    fn the_type_says_which_id_counts() {
        let booking = json!({"id": 7, "itinerary_id": 6, "flight_id": 5});
        let changed = named("booking.changed", "booking.changed/7/3", &booking).expect("named");
        assert_eq!((changed.subject, changed.version), (Subject::Booking(BookingId(7)), 3));
        let order = named("itinerary.completed", "x", &booking).expect("named");
        assert_eq!(order.subject, Subject::Order(BookingId(6)));
        let id = format!("REF-{:032x}", 9);
        let refund = named("refund.done", "x", &json!({"id": id, "booking_id": 7}));
        let expected = Subject::Refund(RefundId::from_bits(9), BookingId(7));
        assert_eq!(refund.expect("named").subject, expected);
        let moved = named("flight.moved", "x", &json!({"flight_id": 5})).expect("named");
        assert_eq!(moved.subject, Subject::Flight(FlightId(5)));
    }

    #[test]
    fn other_types_and_unreadable_messages_name_nothing() {
        assert_eq!(named("flight.updated", "x", &json!({"id": 1})), None);
        assert_eq!(named("booking.completed", "x", &json!({"id": "seven"})), None);
        assert_eq!(named("booking.completed", "x", &json!([])), None);
        assert_eq!(named("refund.done", "x", &json!({"id": 1, "booking_id": 1})), None);
    }
}
