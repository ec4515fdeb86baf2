//! The rows of events, read together.

use super::{Fact, Named, Subject, rows};
use crate::domain::{
    ATTEMPTS_MAX, Booking, BookingId, BookingStatus, Flight, FlightId, FlightStatus,
    PaymentReference, PaymentStatus,
};
use crate::store::{EventRows, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::value::to_raw_value;
use std::collections::{HashMap, HashSet};

/// Events whose rows are read one by one at once.
const AT_ONCE: usize = 4;

/// The content of each event, in their order; `None` where the rows contradict it.
pub async fn read(store: &dyn Store, events: &[Named]) -> Result<Vec<Option<Fact>>, StoreError> {
    let mut others: HashMap<&str, &Named> = HashMap::new();
    let (mut flights, mut bookings) = (HashSet::new(), HashSet::new());
    for event in events {
        match event.subject {
            Subject::Flight(id) => drop(flights.insert(id)),
            Subject::Booking(id) => drop(bookings.insert(id)),
            _ => drop(others.insert(&event.id, event)),
        }
    }
    let others = read_others(store, others.into_values().collect()).await?;
    let (flights, bookings): (Vec<_>, Vec<_>) =
        (flights.into_iter().collect(), bookings.into_iter().collect());
    let rows = store.event_rows(&flights, &bookings).await?;
    let captured = read_captured(store, events, &rows.bookings).await?;
    let known = Known::of(rows, captured, others);
    Ok(events.iter().map(|event| known.fact(event)).collect())
}

/// The content of events that name other rows than flights and bookings, by the event's id.
async fn read_others(
    store: &dyn Store,
    events: Vec<&Named>,
) -> Result<HashMap<String, Fact>, StoreError> {
    let read = |event: &Named| {
        let event = event.clone();
        async move {
            let fact = rows::read(store, &event).await?;
            Ok::<_, StoreError>(fact.map(|fact| (event.id, fact)))
        }
    };
    let facts = futures::stream::iter(events.into_iter().map(read)).buffer_unordered(AT_ONCE);
    facts.try_filter_map(|fact| std::future::ready(Ok(fact))).try_collect().await
}

/// The captured payments of bookings of which nothing else tells whether they were completed.
async fn read_captured(
    store: &dyn Store,
    events: &[Named],
    bookings: &[Booking],
) -> Result<HashSet<PaymentReference>, StoreError> {
    let unclear: HashSet<BookingId> = events.iter().filter_map(completed).collect();
    let is_unclear = |booking: &&Booking| {
        booking.status == BookingStatus::Cancelled && unclear.contains(&booking.id)
    };
    let payments: Vec<_> = bookings.iter().filter(is_unclear).flat_map(references).collect();
    if payments.is_empty() {
        return Ok(HashSet::new());
    }
    let asked = store.payments_asked(&payments).await?;
    let paid = asked.into_iter().filter(|(_, its)| its.status == PaymentStatus::Captured);
    Ok(paid.map(|(reference, _)| reference).collect())
}

/// The booking that an event calls completed.
fn completed(event: &Named) -> Option<BookingId> {
    match event.subject {
        Subject::Booking(id) if event.kind == "booking.completed" => Some(id),
        _ => None,
    }
}

/// The rows of some events, by id, and which payments were captured.
struct Known {
    flights: HashMap<FlightId, Flight>,
    bookings: HashMap<BookingId, Booking>,
    captured: HashSet<PaymentReference>,
    /// The content of events that name other rows, by the event's id.
    others: HashMap<String, Fact>,
}

impl Known {
    fn of(
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
    fn fact(&self, named: &Named) -> Option<Fact> {
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
fn references(booking: &Booking) -> Vec<PaymentReference> {
    let first = booking.payment_reference;
    let further = (2..=ATTEMPTS_MAX).map(|attempt| PaymentReference::of_attempt(first, attempt));
    std::iter::once(first).chain(further).collect()
}

fn flight_fact(named: &Named, flight: &Flight) -> Option<Fact> {
    let is_true = named.has_been(flight.version)
        && match named.kind {
            "flight.cancelled" => flight.flight_status == FlightStatus::Cancelled,
            _ => true,
        };
    let at = if named.kind == "flight.created" { flight.created_at } else { flight.updated_at };
    is_true.then(|| Fact::new(flight.id, None, at, to_raw_value(flight)))
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
    let data = to_raw_value(&booking.without_passengers());
    (is_true && booking.replaces.is_none())
        .then(|| Fact::new(booking.flight_id, Some(booking.id), booking.updated_at, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::messages::{Headers, Message};
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
        assert_eq!((fact.flight, fact.booking), (FlightId(2), Some(BookingId(1))));
        assert_eq!(fact.at, "2025-01-15T10:00:01Z".parse::<Timestamp>().expect("an instant"));
        let data: serde_json::Value = serde_json::from_str(fact.data.get()).expect("JSON");
        assert_eq!((&data["id"], &data["status"]), (&json!(1), &json!("completed")));
        assert_eq!(data["booking_metadata"], json!(null));
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
