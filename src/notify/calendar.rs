//! The flights of a message as a calendar (RFC 5545), which calendars of every vendor read.

use super::text::one_line;
use crate::domain::{Booking, BookingStatus, Flight, MessageKind, Timestamp};

/// Whether a message carries its flights: it tells what has become of them.
pub(super) const fn is_for_calendars(kind: MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::BookingCompleted
            | MessageKind::BookingCancelled
            | MessageKind::BookingChanged
            | MessageKind::OrderCompleted
            | MessageKind::OrderCancelled
            | MessageKind::WaitlistPromoted
            | MessageKind::FlightMoved
    )
}

/// Longest line in bytes, without its line break (RFC 5545, section 3.1).
const LINE_BYTES_MAX: usize = 75;

/// A calendar of these flights; `None` if none of them is sold or cancelled.
///
/// A flight keeps its `UID` through all messages, so that a calendar replaces it, and `SEQUENCE` never falls. `stamp` is
/// when the message was made, and `domain` makes the ids unique in the world.
pub(super) fn calendar<'a>(
    segments: impl Iterator<Item = (&'a Booking, &'a Flight)>,
    reference: &str,
    stamp: Timestamp,
    domain: &str,
) -> Option<String> {
    let mut lines = Lines::default();
    lines.add("BEGIN", "VCALENDAR");
    lines.add("VERSION", "2.0");
    lines.add("PRODID", "-//airline-booking//EN");
    lines.add("CALSCALE", "GREGORIAN");
    lines.add("METHOD", "PUBLISH");
    let mut events = 0;
    for (booking, flight) in segments {
        let status = match booking.status {
            BookingStatus::Completed => "CONFIRMED",
            BookingStatus::Cancelled => "CANCELLED",
            BookingStatus::Pending | BookingStatus::Failed => continue,
        };
        events += 1;
        lines.event(booking, flight, status, (reference, stamp, domain));
    }
    lines.add("END", "VCALENDAR");
    (events > 0).then_some(lines.0)
}

/// Content lines, folded.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn event(
        &mut self,
        booking: &Booking,
        flight: &Flight,
        status: &str,
        (reference, stamp, domain): (&str, Timestamp, &str),
    ) {
        let number = flight.flight_number.as_deref().map(one_line).unwrap_or_default();
        let (from, to) = (one_line(&flight.source), one_line(&flight.destination));
        let summary = format!("{number} {from} – {to}");
        let changed = booking.updated_at.max(flight.updated_at) - booking.created_at;
        // Two changes of a booking in one second have different versions.
        let sequence = changed.num_seconds().max(0) + booking.version;
        self.add("BEGIN", "VEVENT");
        self.add("UID", &format!("booking-{}-{}@{domain}", booking.order_id, booking.segment));
        self.add("SEQUENCE", &sequence.to_string());
        self.add("DTSTAMP", &utc(stamp));
        self.add("DTSTART", &utc(flight.departs_at));
        if let Some(arrives_at) = flight.arrives_at {
            self.add("DTEND", &utc(arrives_at));
        }
        self.add("SUMMARY", &escaped(summary.trim()));
        self.add("LOCATION", &escaped(&from));
        self.add("DESCRIPTION", &escaped(&format!("Booking reference {reference}")));
        self.add("STATUS", status);
        self.add("TRANSP", if status == "CANCELLED" { "TRANSPARENT" } else { "OPAQUE" });
        self.add("END", "VEVENT");
    }

    /// Adds a line, folded where it would be too long; no character is cut.
    fn add(&mut self, name: &str, value: &str) {
        let mut room = LINE_BYTES_MAX;
        for character in format!("{name}:{value}").chars() {
            if character.len_utf8() > room {
                self.0.push_str("\r\n ");
                room = LINE_BYTES_MAX - 1;
            }
            room -= character.len_utf8();
            self.0.push(character);
        }
        self.0.push_str("\r\n");
    }
}

fn utc(at: Timestamp) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// A text value (RFC 5545, section 3.3.11).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn booking(status: &str) -> Booking {
        serde_json::from_value(json!({
            "id": 8, "itinerary_id": 7, "segment": 2, "booking_taxes": 0.00, "fee": 0.00,
            "fare_rules": "free", "flight_id": 2, "user_id": 3, "status": status,
            "payment_reference_id": format!("PAY-{:032x}", 4), "booking_price": 2500.00,
            "seats_booked": 1, "hold_expires_at": "2025-01-15T10:05:00Z",
            "created_at": "2025-01-15T10:00:00Z", "updated_at": "2025-01-15T10:00:01Z",
        }))
        .expect("a booking")
    }

    fn flight(source: &str, arrives_at: Option<&str>) -> Flight {
        serde_json::from_value(json!({
            "id": 2, "flight_number": "AB101", "source": source, "destination": "Mumbai",
            "timestamp": "2025-01-20T10:00:00Z", "arrival_timestamp": arrives_at,
            "available_seats": 1, "held_seats": 0, "blocked_seats": 0, "total_seats": 1,
            "flight_status": "scheduled", "price": 2500.00, "taxes": 0.00, "currency": "INR",
            "version": 1, "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-16T00:00:00Z",
        }))
        .expect("a flight")
    }

    fn of(booking: &Booking, flight: &Flight) -> Option<String> {
        let stamp = "2025-01-15T10:00:02Z".parse().expect("an instant");
        calendar([(booking, flight)].into_iter(), "ABC234", stamp, "airline.example")
    }

    #[test]
    fn a_flight_keeps_its_id_and_changes_its_status() {
        let flight = flight("Delhi", Some("2025-01-20T12:10:00Z"));
        let sold = of(&booking("completed"), &flight).expect("a calendar");
        let cancelled = of(&booking("cancelled"), &flight).expect("a calendar");
        for (text, status) in [(&sold, "CONFIRMED"), (&cancelled, "CANCELLED")] {
            for line in [
                "METHOD:PUBLISH",
                "UID:booking-7-2@airline.example",
                "SEQUENCE:50401",
                "DTSTAMP:20250115T100002Z",
                "DTSTART:20250120T100000Z",
                "DTEND:20250120T121000Z",
                "SUMMARY:AB101 Delhi – Mumbai",
                &format!("STATUS:{status}"),
            ] {
                assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
            }
        }
        assert_eq!(of(&booking("pending"), &flight), None);
    }

    #[test]
    fn lines_are_short_and_no_text_begins_another() {
        let long = "दिल्ली, \\ ; ".repeat(12);
        let flight = flight(&format!("{long}\r\nBEGIN:VEVENT"), None);
        let text = of(&booking("completed"), &flight).expect("a calendar");
        assert!(text.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX), "{text}");
        let unfolded = text.replace("\r\n ", "");
        assert_eq!(unfolded.matches("\r\nBEGIN:VEVENT").count(), 1);
        assert!(unfolded.contains("LOCATION:दिल्ली\\, \\\\ \\; दिल्ली"), "{unfolded}");
        assert!(!text.contains("DTEND"));
        assert!(text.replace("\r\n", "").find(['\r', '\n']).is_none());
    }
}
