//! The embedded store: one SQLite file, durable and alone.
//!
//! One connection writes, a few read. Write-ahead log with `synchronous = FULL`: a commit that was
//! answered survives a power cut; the engine's batches make that cheap.

mod claim;
mod columns;
mod commit;
mod drift;
mod error;
mod flights;
mod keys;
mod load;
mod outbox;
mod personal;
mod private;
mod request_keys;
mod unit;
mod upkeep;
mod writer;
mod writes;

use super::audit::{RULES, SWEEP_GRACE};
use super::rows::micros;
use super::schema::{Step, migrator, steps};
use super::unreadable::Unreadable;
use super::{
    Backlog, Committed, Finding, HIGHEST_BOOKING, Job, Lane, Lease, Located, Numbered, OutboxEntry,
    Page, PaymentAsked, PaymentsCompared, Position, RouteSpan, SeatCount, SeatsAsked, Store,
    StoreError, schema_of_service,
};
use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, Invalidation, NewFlight,
    Payment, PaymentReference, Timestamp, UserId,
};
use crate::rules::{ChangeSet, Claim, OutboxEvent, RequestKey, State, Wanted};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, SqlitePool};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tracing::warn;

pub use claim::{ClaimError, ServiceClaim};
pub(crate) use commit::json;
pub(in crate::store) use error::is_away;
pub(crate) use writer::{Writer, begin};

/// The schema's steps.
const STEPS: &[Step] = steps! { "sqlite":
    "0001_initial",
    "0003_payment_traces",
    "0005_outbox_lanes",
    "0006_outbox_by_lane",
    "0007_bookings_by_flight",
    "0009_request_keys",
    "0010_money",
    "0011_route_keys",
    "0013_bookings_by_holder",
    "0014_erasures",
};

fn migrations() -> Migrator {
    migrator(STEPS)
}

/// Pages in the write-ahead log that start a checkpoint: 32 MiB. At SQLite's own 1,000 every batch
/// would pay for one.
const CHECKPOINT_PAGES: &str = "8192";

/// The writer's page cache at most, as SQLite writes 16 MiB; the readers have its default of 2.
const WRITER_CACHE_KIB: &str = "-16384";

/// Connections that read.
const READERS: u32 = 4;

/// How long a statement waits for another process' write lock, or for a free connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One SQLite file.
pub struct SqliteStore {
    writer: Writer,
    reader: SqlitePool,
    last_booking_id: AtomicI64,
    sent: outbox::Sent,
    file: PathBuf,
    unreadable: Unreadable,
}

impl SqliteStore {
    /// Opens the file beside a service that may run on it: its schema is brought up to date only if
    /// none does.
    pub async fn open_beside(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        if file.exists() && claim::is_claimed(file) {
            let options = SqliteConnectOptions::new().filename(file);
            let connected = options.connect().await.map_err(StoreError::from);
            let mut connection = connected.map_err(|error| error::of_file(error, file))?;
            schema_of_service(&applied(&mut connection).await?, &migrations())?;
            let _ = connection.close().await;
        }
        Self::open(file, currency).await
    }

    /// Opens the file, made for its owner alone if it is missing, and brings its schema up to date.
    /// Refuses a file whose amounts have other decimals than `currency`.
    pub async fn open(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        // Where that fails, SQLite says why it cannot have the file.
        let _ = private::prepare(file);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            // What a statement over a set sorts or may have to take back: a batch's, not a file's.
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        // Deleted values are overwritten where their page is written anyway: passengers would else stay in
        // the free space of pages.
        let writer = options.clone().pragma("secure_delete", "FAST");
        let writer = Writer::open(writer.pragma("cache_size", WRITER_CACHE_KIB)).await;
        let writer = writer.map_err(|error| error::of_file(error, file))?;
        let migrated = migrations().run(&mut *writer.take().await?).await;
        migrated.map_err(|error| StoreError::Refused(error.into()))?;
        unit::settle(&mut *writer.take().await?, currency).await?;
        keys::renew(&mut *writer.take().await?).await?;
        writes::Writes::prepare(&mut *writer.take().await?).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        let last = highest_booking(&reader).await?;
        Ok(Self {
            writer,
            reader,
            last_booking_id: AtomicI64::new(last),
            sent: outbox::Sent::default(),
            file: file.to_owned(),
            unreadable: Unreadable::default(),
        })
    }

    /// Claims a database for one serving process: booking numbers are counted in memory. By the file,
    /// whatever links its path follows, with a lock beside it. A file of several names (hard links) is
    /// refused: SQLite keeps the log beside the name, so two names are two logs.
    pub fn claim(file: &Path) -> Result<ServiceClaim, ClaimError> {
        claim::claim(file)
    }

    /// What no other file is called: a number that was drawn once and is kept in the file's own
    /// header, so a copy of the file has it too. Keeps apart what databases share elsewhere.
    pub async fn identity(&self) -> Result<String, StoreError> {
        let mut writing = self.writer.take().await?;
        let kept = "PRAGMA user_version";
        let number: i32 = sqlx::query_scalar(kept).fetch_one(&mut *writing).await?;
        if number != 0 {
            return Ok(number.to_string());
        }
        // Never zero, which is what a new file says, and never negative.
        let drawn = "SELECT (random() & 0x7ffffffe) + 1";
        let drawn: i32 = sqlx::query_scalar(drawn).fetch_one(&mut *writing).await?;
        let keep = AssertSqlSafe(format!("PRAGMA user_version = {drawn}"));
        sqlx::raw_sql(keep).execute(&mut *writing).await?;
        Ok(drawn.to_string())
    }

    /// The writer, for adapters that keep their rows in the same file.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Closes all connections; the log is folded into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// The highest number of a booking; 0 without any.
async fn highest_booking(reader: &SqlitePool) -> Result<i64, StoreError> {
    let highest: Option<i64> = sqlx::query_scalar(HIGHEST_BOOKING).fetch_one(reader).await?;
    Ok(highest.unwrap_or_default())
}

/// The schema's steps that the file has taken.
async fn applied(connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
    let versions = "SELECT version FROM _sqlx_migrations WHERE success";
    sqlx::query_scalar(versions).fetch_all(connection).await.map_err(StoreError::from)
}

/// A job of the only process that serves from the file.
struct SoleProcess;

#[async_trait]
impl Lease for SoleProcess {
    async fn is_held(&mut self) -> bool {
        true
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        load::load(&self.reader, &self.unreadable, wanted).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        let committed = commit::commit(&self.writer, changes).await;
        self.writer.note(&committed);
        committed
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        load::locate(&self.reader, payments, bookings).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        Ok(BookingId(self.last_booking_id.fetch_add(1, Ordering::Relaxed) + 1))
    }

    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError> {
        let highest = highest_booking(&self.reader).await?;
        if self.last_booking_id.fetch_max(highest, Ordering::Relaxed) < highest {
            warn!(
                taken = taken.0,
                highest, "a booking's drawn number is taken; higher ones are drawn"
            );
        }
        self.draw_booking_id().await
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        flights::create(&self.writer, flight, day, currency, now).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let created = flights::create_once(&self.writer, request, flight, day, currency, now);
        created.await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        flights::import(&self.writer, flights, currency, now).await
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        flights::flight(&self.reader, id).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        flights::search(&self.reader, &self.unreadable, route, from, until).await
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        flights::departures(&self.reader, spans).await
    }

    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        load::booking(&self.reader, id).await
    }

    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        upkeep::user_bookings(&self.reader, &self.unreadable, user, status, before, limit).await
    }

    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        upkeep::lapsed_holds(&self.reader, &self.unreadable, now, after, limit).await
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        upkeep::stranded_bookings(&self.reader, after, limit).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        upkeep::unanswered_payments(&self.reader, &self.unreadable, before, after, limit).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        upkeep::redrive(&self.writer, requests, now).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        upkeep::forget_keys(&self.writer, before, limit).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        upkeep::payments_asked(&self.reader, &self.unreadable, payments).await
    }

    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        outbox::look(self, lane, sent, messages).await
    }

    async fn outdated(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        upkeep::outdated(&self.reader, &self.unreadable, limit).await
    }

    async fn forget_outdated(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        upkeep::forget_outdated(&self.writer, ids, all).await
    }

    async fn lease(&self, _job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        Ok(Some(Box::new(SoleProcess)))
    }

    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        upkeep::adopted_bookings(&self.reader, after, limit).await
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        upkeep::backlog(&self.reader, lapsed, asked).await
    }

    /// SQLite plans without any, as nothing here has it gather them.
    async fn renew_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        drift::count_seats(&self.reader, asked).await
    }

    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        drift::compare_payments(&self.reader, asked).await
    }

    fn pools(&self) -> Vec<PoolUse> {
        let written = u64::from(self.writer.is_taken());
        let idle = self.reader.num_idle() as u64;
        let read = u64::from(self.reader.size()).saturating_sub(idle);
        vec![
            PoolUse { pool: "writer", used: written, idle: 1 - written, max: 1 },
            PoolUse { pool: "reader", used: read, idle, max: READERS.into() },
        ]
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        self.unreadable.count()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM flights)";
        sqlx::query_scalar(query).fetch_one(&self.reader).await.map_err(StoreError::from)
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        flights::numbered(&self.reader, numbers).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        self.writer.probe().await
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        Ok(claim::is_claimed(&self.file))
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let mut tx = self.reader.begin().await?;
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let checked = sqlx::query_scalar(rule.checked).fetch_one(&mut *tx).await;
            let broken = if rule.is_timed() {
                sqlx::query_scalar(rule.broken).bind(micros(now - SWEEP_GRACE))
            } else {
                sqlx::query_scalar(rule.broken)
            };
            let broken = broken.fetch_all(&mut *tx).await?;
            findings.push(rule.finding(checked?, broken));
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_steps_are_those_of_the_folder() {
        crate::store::schema::assert_in_step_with("sqlite", &super::migrations()).await;
    }
}
