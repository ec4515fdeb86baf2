//! Events as answers and streams show them.

use crate::bus::Cursor;
use crate::domain::{BookingId, Timestamp};
use crate::facts::{Fact, Named};
use crate::messages::Message;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// An event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct ShownEvent {
    /// The same whenever the event is told again.
    #[schema(example = "booking.completed/7")]
    id: String,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "booking.completed")]
    kind: &'static str,
    /// When what it happened to last changed.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    time: Timestamp,
    /// The flight that it concerns.
    flight_id: i64,
    /// What it happened to, as it is stored when the event is read.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// The booking that it is about.
    #[serde(skip)]
    pub(super) booking: Option<BookingId>,
}

impl ShownEvent {
    /// An event of the log, with what the rows say of it; `None` if the message stands among the events of another
    /// flight.
    pub(super) fn of(message: &Message, named: Named, fact: Fact) -> Option<Self> {
        let Fact { flight, booking, at, data } = fact;
        let is_in_place = !named.kind.starts_with("flight.") || flight.to_string() == message.key;
        let Named { id, kind, .. } = named;
        is_in_place.then_some(Self { id, kind, time: at, flight_id: flight.0, data, booking })
    }

    /// The event as a stream has it, with the place behind it as its id.
    pub(super) fn frame(&self, after: &Cursor) -> Bytes {
        let data = serde_json::to_string(self).expect("plain data is always JSON");
        frame(self.kind, after, &data)
    }
}

/// An event of a stream. A type is a word of the wire, and JSON has line breaks only between its parts.
pub(super) fn frame(kind: &str, id: &Cursor, data: &str) -> Bytes {
    let mut text = format!("event: {kind}\nid: {id}\n");
    for line in data.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text.into()
}

/// What a stream has while nothing happens: a comment, which keeps the connection open, and an id, from which the
/// client resumes.
pub(super) fn heartbeat(id: &Cursor) -> Bytes {
    format!(": still here\nid: {id}\n\n").into()
}
