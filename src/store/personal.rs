//! What the store holds of people, and how it is erased. `people` carries it out.
//!
//! The engine writes passengers once, with a new booking, and never reads or writes them afterwards: an
//! erasure beside it loses nothing and is undone by nothing.

use super::StoreError;
use super::rows::instant;
use crate::domain::{BookingId, FlightId, Passenger, Timestamp, UserId};
use async_trait::async_trait;

/// Which keys of other routes belong to a user's booking: those whose route begins so.
pub(super) const ROUTES_OF_BOOKINGS: &str = "/api/v1/bookings/%";

/// The name of the route of keys that made a booking.
pub(super) const ROUTE_OF_NEW_BOOKINGS: &str = "/api/v1/bookings";

/// Deletes a user's keys of `POST /bookings`: at most so many.
pub(super) const ERASE_BOOKING_KEYS: &str = "
DELETE FROM idempotency_keys WHERE user_id = $1 AND key IN (
    SELECT key FROM idempotency_keys WHERE user_id = $1 LIMIT $2)";

/// Deletes a user's keys of other routes: at most so many.
pub(super) const ERASE_REQUEST_KEYS: &str = "
DELETE FROM request_keys WHERE (route, owner, key) IN (
    SELECT route, owner, key FROM request_keys
     WHERE (owner = $1 AND owner <> 0) OR (route LIKE $2 AND EXISTS (
           SELECT 1 FROM bookings AS b WHERE b.id = request_keys.made AND b.user_id = $1))
     LIMIT $3)";

/// Flights whose bookings one look for departed ones reads at most.
pub(super) const FLIGHTS_MAX: i64 = 32;

/// The part of the store that is about people. Every call is bounded by its limit.
#[async_trait]
pub trait PersonalData: Send + Sync + 'static {
    /// A user's bookings with a number above `after`, by number.
    async fn bookings_held(
        &self,
        user: UserId,
        after: BookingId,
        limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError>;

    /// The idempotency keys of a user behind `after`: those under its number, and those of requests
    /// about its bookings.
    async fn keys_held(
        &self,
        user: UserId,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError>;

    /// What was erased of a user before, the oldest first.
    async fn erasures_of(&self, user: UserId, limit: usize) -> Result<Vec<Erasure>, StoreError>;

    /// Replaces the passengers of these bookings, in one transaction; says of which. Left out are those
    /// that are erased already, and those that another session keeps for now.
    ///
    /// `of`: the user whose erasure counts them, in the same transaction.
    async fn erase_passengers(
        &self,
        bookings: &[BookingId],
        of: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError>;

    /// Deletes idempotency keys of a user and counts them, in one transaction; says how many.
    async fn erase_keys(
        &self,
        user: UserId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Ends a user's erasure, if one has begun: `kept` of its bookings are yet to fly.
    async fn end_erasure(
        &self,
        user: UserId,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Bookings that are not pending, that were made and whose flights departed until `until`, and whose
    /// passengers are kept; by departure. A page of at most `limit` rows, behind `after`.
    async fn departed_bookings(
        &self,
        until: Timestamp,
        after: Option<Departed>,
        limit: usize,
    ) -> Result<DepartedPage, StoreError>;

    /// Removes what deleted values leave behind in files, as far as the store can beside a service.
    async fn scrub(&self, how: Scrub) -> Result<Scrubbed, StoreError>;
}

/// How much of what deleted values leave behind is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrub {
    /// The log's copies alone, in a fraction of a second.
    Log,
    /// Those of free space too, by writing the file again where no service would wait long for it. A
    /// reader that keeps the log keeps it: a later call empties it.
    Rewrite,
    /// The same for an operator, who waits up to ten seconds for readers of the log.
    RewriteAndWait,
}

/// What a booking's row holds of people. Its other columns are [`super::Store::load`]'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBooking {
    /// Its number.
    pub id: BookingId,
    /// Its flight.
    pub flight_id: FlightId,
    /// The passengers as they are stored: JSON, of any shape where a database was adopted.
    pub passengers: Option<String>,
    /// When they were erased.
    pub erased_at: Option<Timestamp>,
}

/// Number, flight, passengers, and when they were erased in microseconds since 1970.
pub(super) type HeldBookingRow = (i64, i64, Option<String>, Option<i64>);

impl From<HeldBookingRow> for HeldBooking {
    fn from((id, flight, passengers, erased_at): HeldBookingRow) -> Self {
        let erased_at = erased_at.and_then(instant);
        Self { id: BookingId(id), flight_id: FlightId(flight), passengers, erased_at }
    }
}

/// A caller's own name for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The route's template.
    pub route: String,
    /// Under whose number it is kept; 0 where the caller gave none.
    pub owner: UserId,
    /// The key.
    pub key: String,
    /// The number of what the request made or changed.
    pub made: i64,
    /// When it was used.
    pub created_at: Option<Timestamp>,
}

/// Route, owner, key, what it made, and when in microseconds since 1970.
pub(super) type HeldKeyRow = (String, i64, String, i64, i64);

impl From<HeldKeyRow> for HeldKey {
    fn from((route, owner, key, made, created_at): HeldKeyRow) -> Self {
        Self { route, owner: UserId(owner), key, made, created_at: instant(created_at) }
    }
}

/// The record of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When it had come to its end; `None` while it has not.
    pub ended_at: Option<Timestamp>,
    /// Bookings whose passengers were replaced.
    pub bookings: i64,
    /// Keys that were deleted.
    pub keys: i64,
    /// Bookings that were kept.
    pub kept: Option<i64>,
}

/// Beginning and end in microseconds since 1970, bookings, keys, and bookings kept.
pub(super) type ErasureRow = (i64, Option<i64>, i64, i64, Option<i64>);

impl From<ErasureRow> for Erasure {
    fn from((began_at, ended_at, bookings, keys, kept): ErasureRow) -> Self {
        let (began_at, ended_at) = (instant(began_at), ended_at.and_then(instant));
        Self { began_at, ended_at, bookings, keys, kept }
    }
}

/// A place in the order of departures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// The departure in microseconds since 1970.
    pub(super) at: i64,
    pub(super) flight: i64,
    pub(super) booking: i64,
}

impl Departed {
    /// Before all that departed at this instant or later.
    pub fn from(at: Timestamp) -> Self {
        Self { at: at.timestamp_micros(), flight: i64::MIN, booking: i64::MIN }
    }

    /// Before all.
    const START: Self = Self { at: i64::MIN, flight: i64::MIN, booking: i64::MIN };

    /// Where a page begins.
    pub(super) fn or_start(after: Option<Self>) -> Self {
        after.unwrap_or(Self::START)
    }
}

/// A part of the bookings whose passengers are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DepartedPage {
    /// The bookings.
    pub found: Vec<BookingId>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<Departed>,
}

/// A row of a look for them: departure, flight, and a booking, if the flight has one that is due.
pub(super) type DepartedRow = (i64, i64, Option<i64>);

impl DepartedPage {
    /// The page of these rows, which are as the look's order has them.
    pub(super) fn of(rows: &[DepartedRow], limit: usize) -> Self {
        let mut flights: Vec<i64> = rows.iter().map(|(_, flight, _)| *flight).collect();
        flights.dedup();
        let may_have_more = rows.len() >= limit || flights.len() as i64 >= FLIGHTS_MAX;
        let behind = |&(at, flight, booking): &DepartedRow| {
            // A flight without a booking that is due is done.
            Departed { at, flight, booking: booking.unwrap_or(i64::MAX) }
        };
        Self {
            found: rows.iter().filter_map(|(_, _, booking)| booking.map(BookingId)).collect(),
            next: rows.last().filter(|_| may_have_more).map(behind),
        }
    }
}

/// What is left in files of values that were erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// Nothing: the file was written again without them.
    Whole,
    /// A service runs on a large file, which would wait too long for it to be written again. Free space
    /// of its pages may hold old copies of rows that were moved.
    LogAlone,
    /// Another connection kept the log from being emptied.
    Neither,
    /// The server removes old rows by itself (`VACUUM`).
    ByServer,
}

/// As many placeholders as a booking has seats, each this JSON.
pub(super) fn placeholder() -> String {
    serde_json::to_string(&Passenger::erased()).expect("plain data is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_of_rows_or_of_flights_has_one_behind_it() {
        let rows = [(5, 1, Some(7)), (5, 1, Some(8)), (6, 2, None)];
        let last = DepartedPage::of(&rows, 4);
        assert_eq!((last.found, last.next), (vec![BookingId(7), BookingId(8)], None));
        let full = DepartedPage::of(&rows[..2], 2);
        assert_eq!(full.next, Some(Departed { at: 5, flight: 1, booking: 8 }));
        let empty: Vec<DepartedRow> = (0..FLIGHTS_MAX).map(|flight| (9, flight, None)).collect();
        let walked = DepartedPage::of(&empty, 1_000).next.expect("a next page");
        assert_eq!((walked.flight, walked.booking), (FLIGHTS_MAX - 1, i64::MAX));
    }
}
