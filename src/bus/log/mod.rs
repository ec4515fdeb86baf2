//! The log: all events of `airline-events` that are kept, readable from a cursor.
//!
//! On Kafka it is the topic itself, else a table that `publish` fills. [`Reading`] has what both have in common:
//! where a page begins, whether its cursor still fits, and where it ends.

mod cursor;
mod reading;

use crate::domain::{BookingId, Timestamp};
use crate::messages::Message;
use serde::de::IgnoredAny;
use std::time::Duration;

pub use cursor::{Cursor, Mark, NotACursor};
pub(in crate::bus) use reading::{Kept, Reading};

/// Maximum messages that a page reads, whether it shows them or not.
pub const PAGE_READ_MAX: usize = 10_000;

/// How long a page reads.
pub const PAGE_TIME_MAX: Duration = Duration::from_millis(250);

/// What a page of the log is asked for.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Where to begin; `None`: at the oldest event that is kept.
    pub after: Option<Cursor>,
    /// Which events.
    pub filter: LogFilter,
    /// Maximum events in the page.
    pub limit: usize,
    /// The present time.
    pub now: Timestamp,
    /// How long events are kept (`EVENT_RETENTION`).
    pub kept_for: Duration,
    /// Whether to wait for a reader that is free; else [`LogError::Busy`].
    pub is_patient: bool,
}

/// Which events of the log are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// These types; all if empty. `flight.*` are all types that begin with `flight.`.
    pub types: Vec<String>,
    /// Those with this key, a flight's number; `None`: all.
    pub key: Option<String>,
    /// Those about this booking; `None`: all.
    pub booking: Option<BookingId>,
}

/// The part of an event that tells which booking it is about.
#[derive(serde::Deserialize)]
struct Subject {
    id: Option<BookingId>,
    booking_id: Option<BookingId>,
    itinerary_id: Option<BookingId>,
}

/// The booking that an event is about, as its message says: itself, the one that it names, or an order's first.
pub fn booking_of(message: &Message) -> Option<BookingId> {
    let kind = message.headers.get("ce_type")?;
    let Subject { id, booking_id, itinerary_id } = serde_json::from_str(&message.payload).ok()?;
    let is_of = |what| kind.starts_with(what);
    let itself = id.filter(|_| is_of("booking."));
    booking_id.or(itself).or(itinerary_id.filter(|_| is_of("itinerary.")))
}

impl LogFilter {
    /// Whether a message is wanted. One that must be refused, or that is no event of a flight, never is: other systems
    /// may write anything.
    pub fn takes(&self, message: &Message) -> bool {
        let header = |name| message.headers.get(name);
        let (Some(kind), Some(_), Some(_)) =
            (header("ce_type"), header("ce_id"), header("ce_time"))
        else {
            return false;
        };
        let is_of = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == wanted,
        };
        message.fault().is_none()
            && (self.types.is_empty() || self.types.iter().any(is_of))
            && self.key.as_ref().is_none_or(|key| *key == message.key)
            && message.key.parse::<i64>().is_ok()
            && self.booking.is_none_or(|booking| booking_of(message) == Some(booking))
            && serde_json::from_str::<IgnoredAny>(&message.payload).is_ok()
    }
}

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The events, in order for each flight. Each has its position as its origin.
    pub messages: Vec<Message>,
    /// Where the next page begins.
    pub next: Cursor,
    /// Whether the page ends where the log ended.
    pub is_last: bool,
}

/// A page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The record before the cursor is gone, or is another: events may be missing.
    #[error("events after the cursor are no longer kept, or the log was deleted and begun again")]
    Expired,
    /// All readers are busy.
    #[error("all readers of the log are busy")]
    Busy,
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] super::BusError),
}
