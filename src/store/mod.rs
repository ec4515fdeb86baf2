//! The store port: where flights, bookings, payments and the outbox are kept. The truth.
//!
//! Implementations write SQL and map rows; the rules stand in [`crate::rules::decide`]. Time
//! comes in as an argument: no SQL asks the database for it.

mod audit;
mod committed;
mod drift;
mod error;
mod outbox;
pub mod postgres;

mod keys;
mod loaded;
mod personal;
mod request_keys;
mod rows;
mod schema;
pub mod sqlite;
mod unit;
mod unreadable;

use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, Invalidation, NewFlight,
    Payment, PaymentReference, Timestamp, UserId,
};
use crate::rules::{ChangeSet, Claim, OutboxEvent, RequestKey, State, Wanted};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use sqlx::migrate::Migrator;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tracing::debug;

pub use committed::Committed;
pub use drift::{PaymentsCompared, SeatCount, SeatsAsked};
pub use error::StoreError;
pub use outbox::{Lane, OutboxEntry};
pub use personal::{
    Departed, DepartedPage, Erasure, HeldBooking, HeldKey, PersonalData, Scrub, Scrubbed,
};
pub use rows::PaymentAsked;

/// Where flights, bookings, payments and the outbox are kept.
#[async_trait]
pub trait Store: PersonalData {
    // For the booking engine.

    /// Loads the rows that a batch needs. What does not exist is left out, what can't be read is named;
    /// bookings come without passengers.
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError>;

    /// Writes a batch's changes in one durable transaction, each command's whole or not at all.
    ///
    /// Commands connected to a row that is no longer as it was decided on write nothing; they are
    /// named in the answer, to be loaded and decided again. After any error but
    /// [`StoreError::Unavailable`] nothing was written; after that one, who knows.
    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError>;

    /// The flights of payments and bookings, which never change; unknown ones are left out.
    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError>;

    /// Draws a booking's number. Drawn ones that are never used leave gaps.
    async fn draw_booking_id(&self) -> Result<BookingId, StoreError>;

    /// Draws a number in place of one that a stored booking was found to have, as after a restore that set
    /// the sequence back: one above all that are stored.
    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError>;

    // For the callers of the API.

    /// Creates a flight, with `flight.created` and the end of its day's cached answers in the outbox.
    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError>;

    /// Creates a flight as [`Store::create_flight`] does, once for a key; the key is written in the
    /// same transaction.
    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError>;

    /// Creates those of the flights that are not stored yet, by flight number (or its absence),
    /// route and departure, in one transaction that also outdates every cached search. Tells no
    /// topic. Says how many were created.
    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// One flight.
    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError>;

    /// Flights for sale on a route (as [`crate::domain::route_key`] makes it) with seats that can be bought,
    /// that depart in `[from, until)`; by departure, then id. Whether one has closed by the clock is the
    /// caller's to judge ([`Flight::closes_at`]).
    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError>;

    /// Flights of any status that depart in these spans, which do not overlap.
    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError>;

    /// One booking, with its passengers.
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError>;

    /// A user's bookings, newest first, with passengers: those older than `before`, at most `limit`.
    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError>;

    // For the sweeper. A page leaves out rows that can't be read; the store logs and counts them.

    /// Payments of pending bookings whose hold ended at or before `now`; oldest first. A page of at most
    /// `limit` rows, behind `after`.
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError>;

    /// Pending and completed bookings of cancelled flights, by flight, then booking. A page of at most
    /// `limit` rows, behind `after`.
    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError>;

    /// Payments still `requested` or `reversal_requested` that last moved before `before`, each with
    /// its booking; oldest first. A page of at most `limit` rows, behind `after`.
    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError>;

    /// Puts the requests of those payments in the outbox again that nobody touched since they were
    /// read, and notes `now` on them.
    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Forgets idempotency keys used before `before`, those of bookings first: `limit` at most; says how
    /// many.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    // For the payment worker.

    /// What these payments are over and where they are; unknown and unreadable ones are left out.
    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError>;

    // For the relay.

    /// Deletes exactly the rows of the outbox that were sent, and gives the oldest of the others in a
    /// lane, by id, which follows commit order per flight: as many as hold `messages` or just more.
    /// Rows that can't be read stay where they are, and hold up none behind them.
    ///
    /// Rows that were deleted may be there again after the store's own crash; they go out twice then.
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Cached answers that commits ended, oldest first, at most `limit` rows; a row that can't be read
    /// ends all of them.
    async fn outdated(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError>;

    /// Forgets exactly these ends of answers; with `all`, puts the end of every answer in their
    /// place, in one transaction.
    async fn forget_outdated(&self, ids: &[i64], all: bool) -> Result<(), StoreError>;

    /// Takes a job that one process at a time does; `None` if another process has it.
    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError>;

    // For operators.

    /// Bookings of an earlier service whose payment never ran, by number: those among the `limit`
    /// bookings behind `after`, and where the next page begins.
    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError>;

    /// What waits: bookings still pending though their hold ended at or before `lapsed`, payments not
    /// answered since `asked`, and the outbox. Each is counted up to [`BACKLOG_MAX`], by an index, so
    /// that it can be asked every few seconds.
    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError>;

    /// Looks whether what the store knows of its tables' sizes is still about true, and renews it if
    /// not. Cheap, so that it can be asked every second.
    async fn renew_statistics(&self) -> Result<(), StoreError>;

    /// Counts the seats of some flights and, at the same moment, those of their bookings: of the newest
    /// bookings' flights, and of those asked for. By indexes, so that it can be asked each minute.
    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError>;

    /// Compares the newest bookings and those asked for with their payments, and captured payments
    /// with the simulated gateway's ledger: each booking, and whether all agree (I4). By indexes.
    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError>;

    /// The connections that this process has.
    fn pools(&self) -> Vec<PoolUse>;

    /// Rows that reads of many left out lately since they can't be read, by table.
    fn unreadable(&self) -> BTreeMap<&'static str, usize>;

    /// The highest version that a flight may have.
    fn version_limit(&self) -> i64 {
        i64::MAX
    }

    /// Whether anything is stored: flights or bookings.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Tells flights that have one of these numbers from the others.
    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError>;

    /// Answers if the store does.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether a service runs on the database now, in this process or another.
    async fn is_served(&self) -> Result<bool, StoreError>;

    /// Checks the invariants over the whole database.
    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError>;
}

/// A time on a route: what departs in `[from, until)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpan {
    /// As [`crate::domain::route_key`] makes it.
    pub route: String,
    /// The first instant.
    pub from: Timestamp,
    /// The first instant behind it.
    pub until: Timestamp,
}

/// A job that one process at a time does. Where two do, for a moment, messages go out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Serving, where topics stay in the process.
    Serve,
    /// Draining the outbox.
    Relay,
    /// Sweeping.
    Sweep,
}

impl Job {
    /// What operators call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Relay => "relay",
            Self::Sweep => "sweep",
        }
    }
}

/// A job that is ours; given back when dropped, or when the process dies.
#[async_trait]
pub trait Lease: Send {
    /// Whether it still is.
    async fn is_held(&mut self) -> bool;
}

/// How often a job is asked for that another process has, and a job of ours is confirmed.
pub const LEASE_INTERVAL: Duration = Duration::from_secs(1);

impl dyn Store {
    /// Waits until a job is ours.
    pub async fn wait_for(&self, job: Job) -> Box<dyn Lease> {
        loop {
            match self.lease(job).await {
                Ok(Some(lease)) => return lease,
                Ok(None) => {}
                Err(error) => debug!(%error, ?job, "the store does not say whose job it is"),
            }
            tokio::time::sleep(LEASE_INTERVAL).await;
        }
    }
}

/// The highest number of a booking, below 2⁵²: behind one that somebody wrote by hand beyond that, there may
/// be no room for others.
const HIGHEST_BOOKING: &str = "SELECT max(id) FROM bookings WHERE id < 4503599627370496";

/// Refuses to go on beside a service whose schema lacks steps of this release: taking them is for the
/// service's own upgrade.
fn schema_of_service(applied: &[i64], ours: &Migrator) -> Result<(), StoreError> {
    let is_missing = |step: &i64| !applied.contains(step);
    if !ours.iter().map(|step| step.version).any(|step| is_missing(&step)) {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "a service of an older release runs on this database, whose schema this release would change: \
         use the service's own binary, or upgrade the service first"
    )))
}

/// A part of what the sweeper looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What can be read of it.
    pub found: Vec<T>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<Position>,
}

/// A row's place in the order of time: pages begin behind one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Microseconds since 1970; `None` before all time.
    at: Option<i64>,
    /// The payment, as its column has it.
    reference: String,
}

impl Position {
    /// Its parts, or those of the place before all rows.
    fn parts(after: Option<&Self>) -> (Option<i64>, &str) {
        after.map_or((None, ""), |position| (position.at, &position.reference))
    }

    /// The place behind a page's last row, if the page is full, so that there may be more.
    fn behind(rows: usize, limit: usize, last: Option<Self>) -> Option<Self> {
        last.filter(|_| rows >= limit)
    }
}

/// Each payment with the booking that it pays.
fn paired(payments: Vec<Payment>, bookings: Vec<Booking>) -> Vec<(Payment, Booking)> {
    let mut by_payment: HashMap<PaymentReference, Booking> =
        bookings.into_iter().map(|booking| (booking.payment_reference, booking)).collect();
    let pair =
        |payment: Payment| by_payment.remove(&payment.reference).map(|booking| (payment, booking));
    payments.into_iter().filter_map(pair).collect()
}

/// How many flights with other numbers a [`Numbered`] counts at most.
pub const OTHERS_MAX: i64 = 100;

/// Flights that have one of some numbers, and those that have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Flights with another number or none, counted up to [`OTHERS_MAX`].
    pub others: i64,
    /// When the newest flight with one of the numbers was created. Not looked for, since all flights
    /// would have to be read, once the others reach [`OTHERS_MAX`].
    pub newest: Option<Timestamp>,
}

/// How far a [`Backlog`] is counted.
pub const BACKLOG_MAX: i64 = 100_000;

/// How much waits in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages in the outbox.
    pub outbox: i64,
    /// When the oldest of its messages was written.
    pub outbox_since: Option<Timestamp>,
    /// Bookings that nobody ends.
    pub stuck_bookings: i64,
    /// Payments that nobody answers.
    pub unanswered_payments: i64,
}

/// Where payments and bookings belong.
#[derive(Debug, Default)]
pub struct Located {
    /// The flight of each known payment.
    pub payments: HashMap<PaymentReference, FlightId>,
    /// The flight of each known booking.
    pub bookings: HashMap<BookingId, FlightId>,
}

/// One rule of the audit and how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant: `I1` to `I5`.
    pub invariant: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    /// How many rows were checked.
    pub checked: i64,
    /// How many broke it.
    pub violations: i64,
    /// Some of them, to look at.
    pub examples: Vec<String>,
}
