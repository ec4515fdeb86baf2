//! Events as answers and streams show them.

use crate::bus::Cursor;
use crate::messages::Message;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// An event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct ShownEvent<'a> {
    /// The same whenever the event is told again.
    #[schema(example = "booking.completed/7")]
    id: &'a str,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "booking.completed")]
    kind: &'a str,
    /// When it happened.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    time: &'a str,
    /// The flight whose events it is in order with.
    flight_id: i64,
    /// What changed, as it was after the change: as in the messages of `airline-events`.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

impl<'a> ShownEvent<'a> {
    /// An event of the log; `None` if the message is none.
    pub fn of(message: &'a Message) -> Option<Self> {
        let header = |name| message.headers.get(name);
        Some(Self {
            id: header("ce_id")?,
            kind: header("ce_type")?,
            time: header("ce_time")?,
            flight_id: message.key.parse().ok()?,
            data: serde_json::from_str(&message.payload).ok()?,
        })
    }

    /// The event as a stream has it, with the place behind it as its id.
    pub(super) fn frame(&self, after: &Cursor) -> Bytes {
        let data = serde_json::to_string(self).expect("plain data is always JSON");
        frame(self.kind, after, &data)
    }
}

/// An event of a stream. A type is a word of the wire, and JSON has line breaks only between its parts.
pub(super) fn frame(kind: &str, id: &Cursor, data: &str) -> Bytes {
    let kind = kind.lines().next().unwrap_or_default();
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
