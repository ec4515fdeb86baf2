//! Events to messages and back: JSON bodies, `CloudEvents` headers, keys. The contract on the wire.

use super::{Message, Topic};
use crate::domain::{
    AirlineEvent, Event, FlightBooking, FlightId, PaymentAction, PaymentEvent, PaymentOutcome,
    PaymentReference, PaymentRequest, RefundId, SeatsMoved, Timestamp,
};
use chrono::SecondsFormat;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use std::borrow::Cow;
use std::fmt;

const SPEC_VERSION: &str = "1.0";
const SOURCE: &str = "/airline-booking";

/// Maximum number of headers of a message of ours: five attributes, one of its kind, its trace.
const HEADERS: usize = 7;

/// A message's headers, in order.
///
/// A booking writes and reads some thirty of them. Most names and values are constants, which are not
/// copied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(Vec<(Word, Word)>);

/// A header's name or value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Word(Cow<'static, str>);

impl From<&str> for Word {
    /// Borrows the words of most messages and copies others.
    fn from(text: &str) -> Self {
        let known = match text {
            "ce_specversion" => "ce_specversion",
            "ce_id" => "ce_id",
            "ce_source" => "ce_source",
            "ce_type" => "ce_type",
            "ce_time" => "ce_time",
            "ce_holdexpiresat" => "ce_holdexpiresat",
            "ce_flightversion" => "ce_flightversion",
            SPEC_VERSION => SPEC_VERSION,
            SOURCE => SOURCE,
            "payment.capture_requested" => "payment.capture_requested",
            "payment.completed" => "payment.completed",
            "seats.sold" => "seats.sold",
            "booking.completed" => "booking.completed",
            "flight.updated" => "flight.updated",
            other => return Self(Cow::Owned(other.to_owned())),
        };
        Self(Cow::Borrowed(known))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let words = |(name, value): (N, V)| (name.as_ref().into(), value.as_ref().into());
        Self(pairs.into_iter().map(words).collect())
    }
}

impl Headers {
    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&*name.0, &*value.0))
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sets a header, replacing all of the same name.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known.0 != name);
        self.push(name, value);
    }

    pub(crate) fn push(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((Word(Cow::Borrowed(name)), Word(Cow::Owned(value.into()))));
    }

    fn push_fixed(&mut self, name: &'static str, value: &'static str) {
        self.0.push((Word(Cow::Borrowed(name)), Word(Cow::Borrowed(value))));
    }

    /// Binary-mode `CloudEvents` 1.0. The id consists of the event's kind and subject, so that it is the same
    /// when the message is sent again.
    fn cloud_event(id: String, kind: &'static str, time: Timestamp) -> Self {
        let mut headers = Self(Vec::with_capacity(HEADERS));
        headers.push_fixed("ce_specversion", SPEC_VERSION);
        headers.push("ce_id", id);
        headers.push_fixed("ce_source", SOURCE);
        headers.push_fixed("ce_type", kind);
        headers.push("ce_time", rfc3339(time));
        headers
    }
}

fn rfc3339(instant: Timestamp) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl From<&Event> for (Topic, Message) {
    fn from(event: &Event) -> Self {
        match event {
            Event::PaymentRequested(request) => (Topic::PaymentRequests, requested(request)),
            Event::SeatsMoved(moved, version) => (Topic::FlightBookings, seats(moved, *version)),
            Event::Airline(event, version, at) => {
                (Topic::AirlineEvents, airline(event, *version, *at))
            }
        }
    }
}

fn requested(request: &PaymentRequest) -> Message {
    let kind = match request.action {
        PaymentAction::Capture => "payment.capture_requested",
        PaymentAction::Reverse => "payment.reversal_requested",
        PaymentAction::Refund => "payment.refund_requested",
    };
    let id = payment_event_id(kind, request.payment_reference_id, request.refund_id);
    let mut headers = Headers::cloud_event(id, kind, request.timestamp);
    if let Some(end) = request.hold_expires_at {
        headers.push("ce_holdexpiresat", rfc3339(end));
    }
    Message { key: request.booking_id.to_string(), payload: json(request), headers, origin: None }
}

/// The id of a payment message. Its subject is the refund, or else the payment.
fn payment_event_id(kind: &str, payment: PaymentReference, refund: Option<RefundId>) -> String {
    match refund {
        Some(refund) => format!("{kind}/{refund}"),
        None => format!("{kind}/{payment}"),
    }
}

fn seats(moved: &FlightBooking, version: i64) -> Message {
    let kind = if moved.seats_booked > 0 { "seats.sold" } else { "seats.returned" };
    // A booking's seats may come back in several parts, and it may move between flights: each time at another version of a
    // flight.
    let FlightBooking { booking_id, flight_id, .. } = moved;
    let id = format!("{kind}/{booking_id}/{flight_id}/{version}");
    let mut headers = Headers::cloud_event(id, kind, moved.timestamp);
    headers.push("ce_flightversion", version.to_string());
    Message { key: moved.flight_id.to_string(), payload: json(moved), headers, origin: None }
}

fn airline(event: &AirlineEvent, version: i64, at: Timestamp) -> Message {
    let kind = event.kind();
    let Told { flight, subject, payload, shows_flight } = Told::of(event, version);
    let mut headers = Headers::cloud_event(format!("{kind}/{subject}"), kind, at);
    if shows_flight {
        headers.push("ce_flightversion", version.to_string());
    }
    Message { key: flight.to_string(), payload, headers, origin: None }
}

/// What a message of `airline-events` tells.
struct Told {
    /// The flight in whose order the message stands.
    flight: FlightId,
    /// Names the event beside its type. It ends with the version of its row where the type can happen to it twice.
    subject: String,
    payload: String,
    /// Whether it shows the flight, or a booking as it is at the flight's version.
    shows_flight: bool,
}

impl Told {
    fn of(event: &AirlineEvent, version: i64) -> Self {
        match event {
            AirlineEvent::FlightCreated(flight) | AirlineEvent::FlightChanged(flight) => {
                Self::shown(flight.id, format!("{}/{version}", flight.id), flight)
            }
            AirlineEvent::FlightMoved(moved) => {
                Self::shown(moved.flight_id, format!("{}/{version}", moved.flight_id), moved)
            }
            AirlineEvent::BookingEnded(booking) => {
                let subject = booking.id.to_string();
                Self::shown(booking.flight_id, subject, &booking.without_passengers())
            }
            AirlineEvent::BookingHeld(booking) | AirlineEvent::BookingChanged(booking) => {
                let subject = format!("{}/{}", booking.id, booking.version);
                Self::shown(booking.flight_id, subject, &booking.without_passengers())
            }
            AirlineEvent::ChangeEnded(ended) => {
                let subject = format!("{}/{}", ended.booking_id, ended.replacement);
                Self::named(ended.flight_id, subject, ended)
            }
            AirlineEvent::OrderEnded(order) => {
                Self::named(order.flight_id, order.order_id.to_string(), order)
            }
            AirlineEvent::RefundChanged(refund) => {
                let subject = format!("{}/{version}", refund.refund_id);
                Self::named(refund.flight_id, subject, refund)
            }
            AirlineEvent::EntryChanged(entry) => {
                Self::named(entry.flight_id, entry.waitlist_id.to_string(), entry)
            }
            AirlineEvent::DisputeChanged(dispute) => {
                let subject = format!("{}/{version}", dispute.payment);
                Self::named(dispute.flight_id, subject, dispute)
            }
        }
    }

    fn shown(flight: FlightId, subject: String, payload: &impl Serialize) -> Self {
        Self { shows_flight: true, ..Self::named(flight, subject, payload) }
    }

    fn named(flight: FlightId, subject: String, payload: &impl Serialize) -> Self {
        Self { flight, subject, payload: json(payload), shows_flight: false }
    }
}

impl From<&PaymentEvent> for Message {
    fn from(event: &PaymentEvent) -> Self {
        let kind = match event.status {
            PaymentOutcome::Completed => "payment.completed",
            PaymentOutcome::Failed => "payment.failed",
            PaymentOutcome::Reversed => "payment.reversed",
            PaymentOutcome::Refunded => "payment.refunded",
            PaymentOutcome::RefundFailed => "payment.refund_failed",
            PaymentOutcome::ActionRequired => "payment.action_required",
        };
        let id = payment_event_id(kind, event.payment_reference_id, event.refund_id);
        let headers = Headers::cloud_event(id, kind, event.timestamp);
        Self { key: event.booking_id.to_string(), payload: json(event), headers, origin: None }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys is always JSON")
}

/// A message that breaks the contract of its topic; it becomes a dead letter.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct MalformedMessage(String);

/// Reads a message of `payment-requests`.
pub fn parse_payment_request(message: &Message) -> Result<PaymentRequest, MalformedMessage> {
    let mut request: PaymentRequest = parse(message)?;
    if let Some(end) = message.headers.get("ce_holdexpiresat") {
        let end = end.parse().map_err(|_| MalformedMessage("ce_holdexpiresat".into()))?;
        request.hold_expires_at = Some(end);
    }
    check_refund(request.action == PaymentAction::Refund, request.refund_id)?;
    Ok(request)
}

/// Reads a message of `payment-events`.
pub fn parse_payment_event(message: &Message) -> Result<PaymentEvent, MalformedMessage> {
    let event: PaymentEvent = parse(message)?;
    check_refund(event.status.is_of_refund(), event.refund_id)?;
    Ok(event)
}

/// Reads a message of `flight-bookings`. The header `ce_flightversion` names the movement beside its flight.
pub fn parse_seats_moved(message: &Message) -> Result<SeatsMoved, MalformedMessage> {
    let moved: FlightBooking = parse(message)?;
    let version = message.headers.get("ce_flightversion").and_then(|text| text.parse().ok());
    Ok(SeatsMoved {
        flight_id: moved.flight_id,
        version: version.ok_or_else(|| MalformedMessage("ce_flightversion".into()))?,
        seats: moved.seats_booked,
        booking_id: moved.booking_id,
        at: moved.timestamp,
    })
}

/// A message about a refund names it, and no other message names one.
fn check_refund(is_refund: bool, refund: Option<RefundId>) -> Result<(), MalformedMessage> {
    match (is_refund, refund) {
        (true, None) => Err(MalformedMessage("missing field `refund_id`".into())),
        (false, Some(_)) => Err(MalformedMessage("`refund_id` without a refund".into())),
        _ => Ok(()),
    }
}

fn parse<'a, T: Deserialize<'a>>(message: &'a Message) -> Result<T, MalformedMessage> {
    if let Some(fault) = message.fault() {
        return Err(MalformedMessage(fault.to_owned()));
    }
    serde_json::from_str(&message.payload).map_err(|error| MalformedMessage(fault(&error)))
}

/// What is wrong and where, without the message's content, which serde's own text would quote.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match error.classify() {
        Category::Data if text.starts_with("missing field") => {
            // The name comes from our type, not from the message.
            return text;
        }
        Category::Data => "a field of another type or value than the document says",
        Category::Eof | Category::Syntax | Category::Io => "not JSON",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn message(payload: &Value) -> Message {
        let headers = Headers::default();
        Message { key: "42".into(), payload: payload.to_string(), headers, origin: None }
    }

    /// A request or an event, with the fields of both.
    fn sound() -> Value {
        json!({
            "booking_id": 42, "payment_reference_id": format!("PAY-{:032x}", 7), "amount": 10.5,
            "currency": "INR", "payment_method": "pm_card_visa", "timestamp": "2025-01-01T00:00:00Z"
        })
    }

    fn with(fields: Value) -> Message {
        let mut payload = sound();
        let (Some(all), Value::Object(fields)) = (payload.as_object_mut(), fields) else {
            panic!("objects")
        };
        all.extend(fields);
        message(&payload)
    }

    #[test]
    fn messages_from_before_refunds_are_read_and_written_as_they_were() {
        for action in ["capture", "reverse"] {
            let request = parse_payment_request(&with(json!({ "action": action })));
            let request = request.expect("a request");
            assert_eq!(request.refund_id, None);
            let written = requested(&request);
            assert!(!written.payload.contains("refund_id"), "{}", written.payload);
            let id = written.headers.get("ce_id").expect("an id");
            assert!(id.ends_with(&format!("_requested/PAY-{:032x}", 7)), "{id}");
        }
        for status in ["completed", "failed", "reversed"] {
            let event = parse_payment_event(&with(json!({ "status": status })));
            let written = Message::from(&event.expect("an event"));
            assert!(!written.payload.contains("refund_id"), "{}", written.payload);
        }
    }

    #[test]
    fn a_message_about_a_refund_is_named_by_the_refund() {
        let refund = format!("REF-{:032x}", 9);
        let request = with(json!({ "action": "refund", "refund_id": refund }));
        let written = requested(&parse_payment_request(&request).expect("a request"));
        let header = |message: &Message, name| message.headers.get(name).map(str::to_owned);
        assert_eq!(header(&written, "ce_type").as_deref(), Some("payment.refund_requested"));
        assert_eq!(header(&written, "ce_id"), Some(format!("payment.refund_requested/{refund}")));
        let event = with(json!({ "status": "refunded", "refund_id": refund }));
        let event = parse_payment_event(&event).expect("an event");
        assert_eq!(event.refund_id, refund.parse().ok());
        let written = Message::from(&event);
        assert_eq!(header(&written, "ce_type").as_deref(), Some("payment.refunded"));
        assert_eq!(header(&written, "ce_id"), Some(format!("payment.refunded/{refund}")));
        assert!(written.payload.contains(&refund));
    }

    #[test]
    fn a_refund_without_its_id_and_an_id_without_a_refund_are_malformed() {
        let refund = format!("REF-{:032x}", 9);
        for (fields, reason) in [
            (json!({ "action": "refund" }), "missing field `refund_id`"),
            (json!({ "action": "refund", "refund_id": null }), "missing field `refund_id`"),
            (json!({ "action": "capture", "refund_id": refund }), "without a refund"),
            (json!({ "action": "reverse", "refund_id": refund }), "without a refund"),
            (json!({ "action": "refund", "refund_id": "REF-1" }), "another type or value"),
        ] {
            let error = parse_payment_request(&with(fields.clone())).expect_err("malformed");
            assert!(error.to_string().contains(reason), "{fields}: {error}");
        }
        for fields in [
            json!({ "status": "refunded" }),
            json!({ "status": "completed", "refund_id": refund }),
            json!({ "status": "refunded", "refund_id": format!("PAY-{:032x}", 9) }),
        ] {
            assert!(parse_payment_event(&with(fields.clone())).is_err(), "{fields}");
        }
    }
}
