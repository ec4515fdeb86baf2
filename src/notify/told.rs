//! Events that travellers hear of.

use crate::domain::{BookingId, MessageKind, Timestamp};
use crate::facts::{Named, Subject};
use crate::messages::Message;

/// An event of a type that is told, as its message names it. Anyone who can write to the topic can write any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: MessageKind,
    pub(super) subject: Subject,
    /// The version in the event's id; 0 if there is none.
    pub(super) version: i64,
    /// When it happened.
    pub(super) at: Timestamp,
}

impl Told {
    /// What a message tells; `None` if no traveller hears of it.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let Named { kind, at, subject, version, .. } = Named::of(message)?;
        let version = version.unwrap_or_default();
        Some(Self { kind: kind.parse().ok()?, subject, version, at: at? })
    }

    /// The booking that it is about, if its facts are read from that row.
    pub(super) fn booking(&self) -> Option<BookingId> {
        match self.subject {
            Subject::Booking(booking) | Subject::Change { booking, .. } => Some(booking),
            // An entry's id is also that of its booking.
            Subject::Entry(entry) => Some(entry.booking()),
            Subject::Order(_) | Subject::Refund(..) | Subject::Dispute(..) | Subject::Flight(_) => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RefundId;
    use crate::messages::Headers;
    use serde_json::json;

    fn told(kind: &str, id: &str) -> Option<Told> {
        let time = "2025-01-01T00:00:00Z";
        let headers = Headers::from_iter([("ce_type", kind), ("ce_id", id), ("ce_time", time)]);
        let payload = json!({"booking_id": 7}).to_string();
        Told::of(&Message { key: "1".into(), payload, headers, origin: None })
    }

    #[test]
    fn an_event_is_told_by_its_type_its_subject_and_its_version() {
        let changed = told("booking.changed", "booking.changed/7/3").expect("told");
        assert_eq!((changed.subject, changed.version), (Subject::Booking(BookingId(7)), 3));
        assert_eq!(changed.booking(), Some(BookingId(7)));
        let refund = RefundId::from_bits(9);
        let done = told("refund.done", &format!("refund.done/{refund}/2")).expect("told");
        assert_eq!(done.subject, Subject::Refund(refund, BookingId(7)));
    }

    #[test]
    fn other_types_and_unreadable_messages_are_not_told() {
        assert_eq!(told("flight.updated", "flight.updated/1/1"), None);
        assert_eq!(told("booking.completed", "booking.completed/seven"), None);
        assert_eq!(told("booking.completed", "x"), None);
        assert_eq!(told("refund.done", "refund.done/1/1"), None);
    }
}
