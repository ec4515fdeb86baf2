//! The outbox: what must happen after a commit, written in that same commit.
//!
//! A row holds a lane's messages of one commit, in their order: a row per message would cost the
//! databases more than the booking itself. Invalidations of cached answers are rows of a table of their
//! own, so that an outage of the bus does not hold them up, nor one of the cache the messages.

use crate::domain::{AirlineEvent, DayKey, Event, Flight, Invalidation, Timestamp};
use crate::messages::{Message, Topic};
use crate::rules::{ChangeSet, NetChanges, OutboxEvent};
use crate::store::rows::instant;
use crate::store::rows::sql::json;
use crate::store::rows::unreadable::Unreadable;
use crate::store::{Leases, StoreError};
use crate::telemetry::TRACEPARENT;
use async_trait::async_trait;
use std::future::Future;

/// Maximum rows in one page of the outbox, however few messages they hold.
pub(in crate::store) const ROWS_MAX: i64 = 1_024;

/// Drains the outbox, for the process that holds [`Job::Relay`](crate::store::Job::Relay).
#[async_trait]
pub trait Outbox: Leases {
    /// Deletes exactly the rows in `sent`, and returns a lane's oldest other rows by id, which follows
    /// the order of commits per flight: as many as hold `messages`, or just more. Unreadable rows stay
    /// and hold up none after them.
    ///
    /// A crash of the store may bring deleted rows back. They then go out twice.
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Invalidations that commits wrote, oldest first, at most `limit` rows. An unreadable row reads as
    /// [`Invalidation::All`].
    async fn invalidations(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError>;

    /// Deletes exactly these invalidations. With `all`, the same transaction puts
    /// [`Invalidation::All`] in their place.
    async fn forget_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError>;
}

/// Messages that go out together. Each topic belongs to one lane, so lanes share no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Payment requests and their events, which bookings wait for.
    Requests,
    /// Events of flights and bookings for other services.
    Facts,
}

impl Lane {
    /// Every lane, the urgent one first.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Facts];

    fn of(topic: Topic) -> Self {
        match topic {
            Topic::PaymentRequests | Topic::PaymentEvents => Self::Requests,
            Topic::FlightBookings | Topic::AirlineEvents => Self::Facts,
        }
    }

    /// As its column holds it.
    pub(in crate::store) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Facts => "facts",
        }
    }
}

/// The event of a new flight.
pub fn flight_created(flight: &Flight, now: Timestamp) -> OutboxEvent {
    let event = AirlineEvent::FlightCreated(flight.clone());
    OutboxEvent { event: Event::Airline(event, flight.version, now), traceparent: None }
}

/// A row of the outbox: messages of a lane, which go out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The number that the insert draws; 0 before.
    pub id: i64,
    /// The lane of its messages.
    pub lane: Lane,
    /// Messages, each with its topic.
    pub messages: Vec<(Topic, Message)>,
    /// The time of the first message's event.
    pub since: Timestamp,
}

impl OutboxEntry {
    /// For each lane the row of its events, in their order, if it has any.
    pub fn of(events: &[OutboxEvent]) -> [Option<Self>; Lane::ALL.len()] {
        let mut all: Vec<_> =
            events.iter().map(|event| (event.event.at(), message(event))).collect();
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
    pub(in crate::store) fn body(&self) -> String {
        json(&self.messages)
    }
}

/// A row's columns: id, since, body.
pub(in crate::store) type OutboxRow = (i64, i64, String);

/// A lane's readable rows.
fn entries(unreadable: &Unreadable, lane: Lane, rows: Vec<OutboxRow>) -> Vec<OutboxEntry> {
    rows.into_iter().filter_map(|row| unreadable.leave_out(entry(lane, row))).collect()
}

/// A lane's next entries. `page` reads the rows after an id; a page of nothing but unreadable rows is followed
/// by the next.
pub(in crate::store) async fn readable_entries<F>(
    unreadable: &Unreadable,
    lane: Lane,
    page: impl Fn(i64) -> F,
) -> Result<Vec<OutboxEntry>, StoreError>
where
    F: Future<Output = Result<Vec<OutboxRow>, sqlx::Error>>,
{
    let mut after = i64::MIN;
    loop {
        let rows = page(after).await?;
        let Some((last, ..)) = rows.last() else { return Ok(Vec::new()) };
        after = *last;
        let entries = entries(unreadable, lane, rows);
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
}

fn entry(lane: Lane, (id, since, body): OutboxRow) -> Result<OutboxEntry, StoreError> {
    let corrupt = |column| StoreError::Corrupt { table: "outbox", column, row: id.to_string() };
    let messages = serde_json::from_str(&body).map_err(|_| corrupt("body"))?;
    let since = instant(since).ok_or_else(|| corrupt("since"))?;
    Ok(OutboxEntry { id, lane, messages, since })
}

fn message(event: &OutboxEvent) -> (Topic, Message) {
    let (topic, mut message) = (&event.event).into();
    if let Some(traceparent) = &event.traceparent {
        message.headers.set(TRACEPARENT, &**traceparent);
    }
    (topic, message)
}

/// An invalidation as its column holds it.
pub(in crate::store) fn invalidation_body(invalidation: &Invalidation) -> String {
    json(invalidation)
}

/// The invalidation that a commit of these changes writes, if other caches need one.
pub fn invalidation_of(folded: &NetChanges, changes: &ChangeSet) -> Option<Invalidation> {
    let is_needed = !folded.flights.is_empty() && !changes.invalidated.is_empty();
    is_needed.then(|| days(&changes.invalidated))
}

/// The invalidation of these routes and days.
pub(in crate::store) fn days(days: &[DayKey]) -> Invalidation {
    Invalidation::Days(days.iter().map(|day| (day.route.clone(), day.date)).collect())
}

/// An invalidation from its columns: id, body. An unreadable one may have named any answer, so it
/// invalidates all.
pub(in crate::store) fn invalidation(
    (id, body): (i64, String),
    unreadable: &Unreadable,
) -> (i64, Invalidation) {
    let corrupt =
        |_| StoreError::Corrupt { table: "outdated_answers", column: "body", row: id.to_string() };
    let read = serde_json::from_str(&body).map_err(corrupt);
    (id, unreadable.leave_out(read).unwrap_or(Invalidation::All))
}
