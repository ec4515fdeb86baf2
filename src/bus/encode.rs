//! Between facts and messages: JSON bodies, `CloudEvents` headers, keys. The contract on the wire.

use super::{Message, Topic};
use crate::domain::{
    AirlineEvent, Event, FlightBooking, PaymentAction, PaymentEvent, PaymentOutcome,
    PaymentRequest, Timestamp,
};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

/// A message's headers, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Gives a name this value and no other.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.push(name, value);
    }

    pub(super) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Binary-mode `CloudEvents` 1.0. The id is made of what happened to what, so that it is the
    /// same when the message comes again.
    fn cloud_event(id: String, kind: &str, time: Timestamp) -> Self {
        let mut headers = Self::default();
        headers.push("ce_specversion", "1.0");
        headers.push("ce_id", id);
        headers.push("ce_source", "/airline-booking");
        headers.push("ce_type", kind);
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
    };
    let id = format!("{kind}/{}", request.payment_reference_id);
    let mut headers = Headers::cloud_event(id, kind, request.timestamp);
    if let Some(end) = request.hold_expires_at {
        headers.push("ce_holdexpiresat", rfc3339(end));
    }
    Message { key: request.booking_id.to_string(), payload: json(request), headers, origin: None }
}

fn seats(moved: &FlightBooking, version: i64) -> Message {
    let kind = if moved.seats_booked > 0 { "seats.sold" } else { "seats.returned" };
    let id = format!("{kind}/{}", moved.booking_id);
    let mut headers = Headers::cloud_event(id, kind, moved.timestamp);
    headers.push("ce_flightversion", version.to_string());
    Message { key: moved.flight_id.to_string(), payload: json(moved), headers, origin: None }
}

fn airline(event: &AirlineEvent, version: i64, at: Timestamp) -> Message {
    let kind = event.kind();
    let (flight_id, subject, payload) = match event {
        AirlineEvent::FlightCreated(flight) | AirlineEvent::FlightChanged(flight) => {
            (flight.id, format!("{}/{version}", flight.id), json(flight))
        }
        AirlineEvent::BookingEnded(booking) => {
            (booking.flight_id, booking.id.to_string(), json(&booking.without_passengers()))
        }
    };
    let mut headers = Headers::cloud_event(format!("{kind}/{subject}"), kind, at);
    headers.push("ce_flightversion", version.to_string());
    Message { key: flight_id.to_string(), payload, headers, origin: None }
}

impl From<&PaymentEvent> for Message {
    fn from(event: &PaymentEvent) -> Self {
        let kind = match event.status {
            PaymentOutcome::Completed => "payment.completed",
            PaymentOutcome::Failed => "payment.failed",
            PaymentOutcome::Reversed => "payment.reversed",
        };
        let id = format!("{kind}/{}", event.payment_reference_id);
        let headers = Headers::cloud_event(id, kind, event.timestamp);
        Self { key: event.booking_id.to_string(), payload: json(event), headers, origin: None }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys is always JSON")
}

/// A message that does not say what its topic's messages say; it belongs to the dead letters.
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
    Ok(request)
}

/// Reads a message of `payment-events`.
pub fn parse_payment_event(message: &Message) -> Result<PaymentEvent, MalformedMessage> {
    parse(message)
}

fn parse<'a, T: Deserialize<'a>>(message: &'a Message) -> Result<T, MalformedMessage> {
    if let Some(fault) = message.fault() {
        return Err(MalformedMessage(fault.to_owned()));
    }
    serde_json::from_str(&message.payload).map_err(|error| MalformedMessage(fault(&error)))
}

/// What is wrong and where, without what the message says: serde's own text quotes it.
fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match error.classify() {
        Category::Data if text.starts_with("missing field") => {
            // The name is ours: serde takes it from the type.
            return text;
        }
        Category::Data => "a field of another type or value than the document says",
        Category::Eof | Category::Syntax | Category::Io => "not JSON",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}
