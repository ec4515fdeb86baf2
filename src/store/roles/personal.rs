//! The role for personal data: list and erase them. The room `people` uses it.
//!
//! The engine writes passengers with a new booking, and corrects them by commands that check the booking's version; it
//! never reads them. An erasure raises the version, so that a concurrent correction is decided again: the
//! erasure loses nothing and stays.

use crate::domain::{BookingId, Entry, FlightId, Passenger, Timestamp, UserId, WaitlistId};
use crate::store::StoreError;
use crate::store::rows::instant;
use crate::store::rows::sql::json;
use async_trait::async_trait;

/// Whether a key's route is about a booking or an itinerary, so that the key belongs to its user.
macro_rules! is_route_of_booking {
    () => {
        "(route LIKE '/api/v1/bookings/{id}/%' OR route LIKE '/api/v1/itineraries/{id}/%')"
    };
}

pub(in crate::store) use is_route_of_booking;

/// The route of keys that created a booking.
pub(in crate::store) const ROUTE_OF_NEW_BOOKINGS: &str = "/api/v1/bookings";

/// Deletes at most `$2` of a user's keys of `POST /bookings`.
pub(in crate::store) const ERASE_BOOKING_KEYS: &str = "
DELETE FROM idempotency_keys WHERE user_id = $1 AND key IN (
    SELECT key FROM idempotency_keys WHERE user_id = $1 LIMIT $2)";

/// Deletes at most `$2` of a user's keys of other routes.
pub(in crate::store) const ERASE_REQUEST_KEYS: &str = concat!(
    "DELETE FROM request_keys WHERE (route, owner, key) IN (
    SELECT route, owner, key FROM request_keys
     WHERE (owner = $1 AND owner <> 0) OR (",
    is_route_of_booking!(),
    " AND EXISTS (
           SELECT 1 FROM bookings AS b WHERE b.id = request_keys.made AND b.user_id = $1))
     LIMIT $2)"
);

/// Maximum flights whose bookings one page of departed bookings reads.
pub(in crate::store) const FLIGHTS_MAX: i64 = 32;

/// Lists and erases personal data. `limit` bounds each call.
#[async_trait]
pub trait PersonalData: Send + Sync + 'static {
    /// A user's bookings with numbers above `after`, in their order.
    async fn bookings_held(
        &self,
        user: UserId,
        after: BookingId,
        limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError>;

    /// A user's idempotency keys after `after`: those under the user's number, and those of requests about
    /// the user's bookings.
    async fn keys_held(
        &self,
        user: UserId,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError>;

    /// Records of earlier erasures of a user, oldest first.
    async fn erasures_of(&self, user: UserId, limit: usize) -> Result<Vec<Erasure>, StoreError>;

    /// Replaces the passengers of these bookings with placeholders, and deletes the messages to them, in one
    /// transaction. Returns the bookings that it changed: not those erased before, nor those that another session locks.
    ///
    /// The same transaction counts them in the erasure record of user `of`.
    async fn erase_passengers(
        &self,
        bookings: &[BookingId],
        of: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError>;

    /// Deletes a user's idempotency keys and counts them in the erasure record, in one transaction. Returns
    /// how many.
    async fn erase_keys(
        &self,
        user: UserId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// A user's entries of waiting lists after `after`, by number; those that wait with their passengers.
    async fn entries_held(
        &self,
        user: UserId,
        after: WaitlistId,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Replaces the passengers of a user's waiting entries with placeholders and counts these entries as bookings in
    /// the erasure record, in one transaction. Returns how many it changed.
    async fn erase_entries(&self, user: UserId, now: Timestamp) -> Result<usize, StoreError>;

    /// Ends a user's erasure record, if one is open. `kept` bookings have not flown yet.
    async fn end_erasure(
        &self,
        user: UserId,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Bookings with passengers that are not pending, and were created and departed at or before `until`, by
    /// departure: a page of at most `limit` rows after `after`.
    async fn departed_bookings(
        &self,
        until: Timestamp,
        after: Option<Departed>,
        limit: usize,
    ) -> Result<DepartedPage, StoreError>;

    /// Removes the copies that deleted values leave in files, as far as possible beside a service.
    async fn scrub(&self, how: Scrub) -> Result<Scrubbed, StoreError>;
}

/// Which copies of deleted values to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrub {
    /// Those in the log, in a fraction of a second.
    Log,
    /// Those in free space too, by rewriting the file if no service would wait long for it. A log that a
    /// reader uses stays: a later call empties it.
    Rewrite,
    /// The same, but waits up to ten seconds for readers of the log.
    RewriteAndWait,
}

/// The personal data in a booking's row. [`Commits::load`](crate::store::Commits::load) reads the other columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBooking {
    /// The booking's number.
    pub id: BookingId,
    /// The flight that it is on.
    pub flight_id: FlightId,
    /// The passengers as stored: JSON, of any shape in an adopted database.
    pub passengers: Option<String>,
    /// When the passengers were erased.
    pub erased_at: Option<Timestamp>,
}

/// Number, flight, passengers, and `erased_at` in microseconds since 1970.
pub(in crate::store) type HeldBookingRow = (i64, i64, Option<String>, Option<i64>);

impl From<HeldBookingRow> for HeldBooking {
    fn from((id, flight, passengers, erased_at): HeldBookingRow) -> Self {
        let erased_at = erased_at.and_then(instant);
        Self { id: BookingId(id), flight_id: FlightId(flight), passengers, erased_at }
    }
}

/// An idempotency key that a caller chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The route's template.
    pub route: String,
    /// The user that it is stored under; 0 if the caller gave none.
    pub owner: UserId,
    /// The key.
    pub key: String,
    /// The number of the booking or flight that the request created or changed.
    pub made: i64,
    /// When the key was used.
    pub created_at: Option<Timestamp>,
}

/// Route, owner, key, `made`, and `created_at` in microseconds since 1970.
pub(in crate::store) type HeldKeyRow = (String, i64, String, i64, i64);

impl From<HeldKeyRow> for HeldKey {
    fn from((route, owner, key, made, created_at): HeldKeyRow) -> Self {
        Self { route, owner: UserId(owner), key, made, created_at: instant(created_at) }
    }
}

/// The record of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// When the erasure began.
    pub began_at: Option<Timestamp>,
    /// When it ended; `None` before.
    pub ended_at: Option<Timestamp>,
    /// Bookings whose passengers were replaced.
    pub bookings: i64,
    /// Keys that were deleted.
    pub keys: i64,
    /// Bookings that were kept, since they had not flown yet.
    pub kept: Option<i64>,
}

/// `began_at` and `ended_at` in microseconds since 1970, bookings, keys, kept.
pub(in crate::store) type ErasureRow = (i64, Option<i64>, i64, i64, Option<i64>);

impl From<ErasureRow> for Erasure {
    fn from((began_at, ended_at, bookings, keys, kept): ErasureRow) -> Self {
        let (began_at, ended_at) = (instant(began_at), ended_at.and_then(instant));
        Self { began_at, ended_at, bookings, keys, kept }
    }
}

/// A position in the order of departures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// The departure in microseconds since 1970.
    pub(in crate::store) at: i64,
    pub(in crate::store) flight: i64,
    pub(in crate::store) booking: i64,
}

impl Departed {
    /// The position before all bookings that departed at this instant or later.
    pub fn from(at: Timestamp) -> Self {
        Self { at: at.timestamp_micros(), flight: i64::MIN, booking: i64::MIN }
    }

    /// The position before all bookings.
    const START: Self = Self { at: i64::MIN, flight: i64::MIN, booking: i64::MIN };

    /// `after`, or the start.
    pub(in crate::store) fn or_start(after: Option<Self>) -> Self {
        after.unwrap_or(Self::START)
    }
}

/// A page of bookings whose passengers are due for erasure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DepartedPage {
    /// The bookings that are due.
    pub found: Vec<BookingId>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Departed>,
}

/// Departure, flight, and a booking that is due, if the flight has one.
pub(in crate::store) type DepartedRow = (i64, i64, Option<i64>);

impl DepartedPage {
    /// The page of these rows, in the order of departures.
    pub(in crate::store) fn of(rows: &[DepartedRow], limit: usize) -> Self {
        let mut flights: Vec<i64> = rows.iter().map(|(_, flight, _)| *flight).collect();
        flights.dedup();
        let may_have_more = rows.len() >= limit || flights.len() as i64 >= FLIGHTS_MAX;
        let behind = |&(at, flight, booking): &DepartedRow| {
            // A flight without due bookings is done.
            Departed { at, flight, booking: booking.unwrap_or(i64::MAX) }
        };
        Self {
            found: rows.iter().filter_map(|(_, _, booking)| booking.map(BookingId)).collect(),
            next: rows.last().filter(|_| may_have_more).map(behind),
        }
    }
}

/// Copies of erased values that are left in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// None: the file was rewritten.
    Whole,
    /// Possibly in the free space of pages, from moved rows: a service runs on the file, which is too large
    /// to be rewritten meanwhile.
    LogAlone,
    /// Possibly in the log too, which another connection uses.
    Neither,
    /// The server removes them by itself (`VACUUM`).
    ByServer,
}

/// The JSON of a placeholder. An erased booking has one per passenger.
pub(in crate::store) fn placeholder() -> String {
    json(&Passenger::erased())
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
