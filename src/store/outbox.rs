//! The outbox: what must happen after a commit, written in that same commit.
//!
//! A row holds a lane's messages of one commit, in their order, since a row for each would cost the
//! databases more than the booking that it tells of. Answers that end are rows of a table of
//! their own, so that neither waits for the other's party.

use super::StoreError;
use super::rows::instant;
use super::unreadable::Unreadable;
use crate::domain::{AirlineEvent, DayKey, Event, Flight, Invalidation, Timestamp};
use crate::messages::{Message, Topic};
use crate::rules::{ChangeSet, NetChanges, OutboxEvent};
use crate::telemetry::TRACEPARENT;

/// Which messages go out together. Each topic is of one lane, so lanes share no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What bookings wait for: requests for their payment.
    Requests,
    /// What others are told of what has happened.
    Facts,
}

impl Lane {
    /// All of them, the urgent one first.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Facts];

    fn of(topic: Topic) -> Self {
        match topic {
            Topic::PaymentRequests | Topic::PaymentEvents => Self::Requests,
            Topic::FlightBookings | Topic::AirlineEvents => Self::Facts,
        }
    }

    /// As its column has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Facts => "facts",
        }
    }
}

/// What is told of a new flight.
pub(super) fn flight_created(flight: &Flight, now: Timestamp) -> OutboxEvent {
    let event = AirlineEvent::FlightCreated(flight.clone());
    OutboxEvent { event: Event::Airline(event, flight.version, now), traceparent: None }
}

/// One row of the outbox: messages of a lane that go out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its number, drawn by the insert; 0 before.
    pub id: i64,
    /// Its lane.
    pub lane: Lane,
    /// What goes out.
    pub messages: Vec<(Topic, Message)>,
    /// When what the first of them tells happened.
    pub since: Timestamp,
}

impl OutboxEntry {
    /// For each lane the row that tells of its events, in their order, if there are any.
    pub fn of(told: &[OutboxEvent]) -> [Option<Self>; Lane::ALL.len()] {
        let mut all: Vec<_> = told.iter().map(|told| (told.event.at(), message(told))).collect();
        Lane::ALL.map(|lane| {
            let of_lane = |(_, (topic, _)): &mut (_, (Topic, _))| Lane::of(*topic) == lane;
            let mut of_lane = all.extract_if(.., of_lane).peekable();
            let (since, _) = of_lane.peek()?;
            let since = *since;
            let messages = of_lane.map(|(_, message)| message).collect();
            Some(Self { id: 0, lane, messages, since })
        })
    }

    /// The messages as their column holds them.
    pub(super) fn body(&self) -> String {
        json(&self.messages)
    }
}

/// A row's columns: id, since, body.
pub(super) type OutboxRow = (i64, i64, String);

/// The rows of a lane that can be read, from their columns.
pub(super) fn entries(
    unreadable: &Unreadable,
    lane: Lane,
    rows: Vec<OutboxRow>,
) -> Vec<OutboxEntry> {
    rows.into_iter().filter_map(|row| unreadable.leave_out(entry(lane, row))).collect()
}

fn entry(lane: Lane, (id, since, body): OutboxRow) -> Result<OutboxEntry, StoreError> {
    let corrupt = |column| StoreError::Corrupt { table: "outbox", column, row: id.to_string() };
    let messages = serde_json::from_str(&body).map_err(|_| corrupt("body"))?;
    let since = instant(since).ok_or_else(|| corrupt("since"))?;
    Ok(OutboxEntry { id, lane, messages, since })
}

fn message(told: &OutboxEvent) -> (Topic, Message) {
    let (topic, mut message) = (&told.event).into();
    if let Some(traceparent) = &told.traceparent {
        message.headers.set(TRACEPARENT, &**traceparent);
    }
    (topic, message)
}

/// Cached answers that end, as their column holds them.
pub(super) fn invalidation_body(outdated: &Invalidation) -> String {
    json(outdated)
}

/// The cached answers that a commit of these changes ends, where others have to be told.
pub(super) fn ended(folded: &NetChanges, changes: &ChangeSet) -> Option<Invalidation> {
    let is_told = !folded.flights.is_empty() && !changes.outdated.is_empty();
    is_told.then(|| days(&changes.outdated))
}

/// Cached answers of these routes and days.
pub(super) fn days(days: &[DayKey]) -> Invalidation {
    Invalidation::Days(days.iter().map(|day| (day.route.clone(), day.date)).collect())
}

/// A row of cached answers that end, from its columns: id, body. One that can't be read ends all of
/// them: it may have named any.
pub(super) fn outdated((id, body): (i64, String), unreadable: &Unreadable) -> (i64, Invalidation) {
    let corrupt =
        |_| StoreError::Corrupt { table: "outdated_answers", column: "body", row: id.to_string() };
    let read = serde_json::from_str(&body).map_err(corrupt);
    (id, unreadable.leave_out(read).unwrap_or(Invalidation::All))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data is always JSON")
}
