//! The role for waiting lists: entries as callers read them, and the lines that a sweeper must serve.

use crate::domain::{Entry, FlightId, FlightStatus, SeatCount, Timestamp, WaitlistId};
use crate::store::StoreError;
use async_trait::async_trait;

/// Reads waiting lists.
#[async_trait]
pub trait WaitingLists: Send + Sync + 'static {
    /// One entry, and its place in the line, of one moment.
    async fn entry(&self, id: WaitlistId) -> Result<Option<EntryRecord>, StoreError>;

    /// Flights whose line has something to do at `due`, by id: a page of at most `limit` after `after`. A walk is due;
    /// seats gathered until now; a party that waits fits into the free seats, or its time is over; or an offer has
    /// ended and its entry does not say so yet.
    async fn lines_to_serve(
        &self,
        due: LinesDue,
        after: Option<FlightId>,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError>;

    /// How many parties wait, and how many offers are open.
    async fn count_entries(&self) -> Result<EntryCounts, StoreError>;
}

/// An entry as callers read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// The entry.
    pub entry: Entry,
    /// Those who wait before it.
    pub ahead: Ahead,
    /// The flight's [`passed`](crate::domain::Line::passed).
    pub passed: i32,
    /// The flight's status.
    pub flight_status: FlightStatus,
}

/// Parties that wait before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Their number.
    pub parties: i64,
    /// Seats of all of them.
    pub seats: SeatCount,
}

/// A moment at which lines are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinesDue {
    /// Now.
    pub now: Timestamp,
    /// Flights that depart until then are closed.
    pub closing: Timestamp,
}

/// Numbers of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryCounts {
    /// Parties that wait.
    pub waiting: i64,
    /// Open offers.
    pub offered: i64,
}
