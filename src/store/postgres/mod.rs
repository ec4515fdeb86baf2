//! PostgreSQL: the store that any number of replicas share.
//!
//! Every commit is one statement whatever the batch ([`commit`]). Sessions give up on statements
//! and locks after some seconds, so that a hung server is an outage and not a standstill.

mod adopt;
mod columns;
mod commit;
mod drift;
mod error;
mod flights;
mod load;
mod schema;
mod upkeep;

use super::audit::{RULES, SWEEP_GRACE};
use super::{
    Backlog, Committed, Finding, Job, Lease, Located, OutboxEntry, PoolUse, SeatCount, SeatsAsked,
    Store, StoreError,
};
use crate::booking::{ChangeSet, State, Wanted};
use crate::clock::{Clock, OffsetClock, SystemClock};
use crate::config::{PostgresSettings, SslMode};
use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, NewFlight, Payment,
    PaymentReference, PaymentStatus, Timestamp, UserId,
};
use crate::payments::simulated::PostgresLedger;
use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

pub use adopt::Symptom;
pub(crate) use error::store_error;

/// How long a statement waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// What every session is told: how long it bears with a statement, a lock, an idle transaction; and
/// how to plan. All that a session asks goes by keys, and its plans are kept. A plan that was made
/// while a table was empty would read the whole of it, for as long as the table's statistics lag
/// behind: so no plan reads a whole table where an index will do.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

/// Booking numbers drawn in one round trip; those that a process leaves unused are gaps.
const NUMBERS_DRAWN: i32 = 256;

/// The advisory locks of this service begin with this number.
const LOCKS: i32 = 0x0061_6972;

/// A server that replicas share.
pub struct PostgresStore {
    primary: PgPool,
    /// Where searches read.
    reader: PgPool,
    options: PgConnectOptions,
    numbers: Mutex<Vec<i64>>,
    clock: Arc<OffsetClock>,
}

/// Work that one session at a time may do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Migrate = 1,
    Import = 2,
    Relay = 3,
    Sweep = 4,
    Serve = 5,
}

impl PostgresStore {
    /// Connects, and brings the service's own schema up to date. A database of the specified
    /// schema, with the specification's two tables alone, is adopted only if `adopt` says so.
    ///
    /// New columns of adopted flights say `currency`.
    pub async fn open(
        settings: &PostgresSettings,
        currency: Currency,
        adopt: bool,
    ) -> Result<Self, StoreError> {
        let options = connect_options(settings)?;
        let mut first = connect(&options).await?;
        schema::bring_up_to_date(&mut first, currency, adopt).await?;
        // It was only for the start; the server closes what is not said goodbye to.
        let _ = first.close().await;
        let primary = pool(settings).connect_lazy_with(options.clone());
        let reader = match &settings.read_host {
            Some(host) => pool(settings).connect_lazy_with(options.clone().host(host)),
            None => primary.clone(),
        };
        let store =
            Self { primary, reader, options, numbers: Mutex::default(), clock: Arc::default() };
        store.set_clock().await?;
        Ok(store)
    }

    /// What stands in the way of adopting a database of the specified schema, and what adoption
    /// would change; `None` if the database is not one.
    pub async fn examine(settings: &PostgresSettings) -> Result<Option<Vec<Symptom>>, StoreError> {
        let options = connect_options(settings)?;
        let mut connection = connect(&options).await?;
        if !schema::is_specified(&mut connection).await? {
            return Ok(None);
        }
        adopt::examine(&mut connection).await.map(Some)
    }

    /// The database's clock, as it was when [`Self::set_clock`] last looked at it.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Compares this machine's clock with the database's.
    pub async fn set_clock(&self) -> Result<(), StoreError> {
        let asked = SystemClock.now();
        let theirs: i64 = sqlx::query_scalar("SELECT micros(clock_timestamp() AT TIME ZONE 'UTC')")
            .fetch_one(&self.primary)
            .await
            .map_err(store_error)?;
        let answered = SystemClock.now();
        let ours = asked + (answered - asked) / 2;
        self.clock.set_offset_micros(theirs - ours.timestamp_micros());
        Ok(())
    }

    /// What no other database is called, be it of the same name on another server or a clone of this
    /// one: keeps apart what databases share elsewhere.
    pub async fn identity(&self) -> Result<String, StoreError> {
        sqlx::query_scalar(
            "SELECT s.system_identifier || '-' || d.oid
               FROM pg_control_system() AS s, pg_database AS d
              WHERE d.datname = current_database()",
        )
        .fetch_one(&self.primary)
        .await
        .map_err(store_error)
    }

    /// The simulated gateway's own books, which are kept in the same database.
    pub fn ledger(&self) -> PostgresLedger {
        PostgresLedger::new(self.primary.clone())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.reader.close().await;
        self.primary.close().await;
    }
}

fn connect_options(settings: &PostgresSettings) -> Result<PgConnectOptions, StoreError> {
    let options = if let Some(url) = &settings.url {
        // The error may repeat the URL, and with it a password.
        url.expose().parse().map_err(|_| {
            StoreError::Refused(anyhow::anyhow!("DATABASE_URL is not a URL of PostgreSQL"))
        })?
    } else {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&settings.host)
            .port(settings.port)
            .username(&settings.user)
            .password(settings.password.expose())
            .database(&settings.database)
            .ssl_mode(match settings.ssl_mode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            });
        match &settings.ssl_root_cert {
            Some(file) => options.ssl_root_cert(file),
            None => options,
        }
    };
    Ok(options.application_name("airline-booking").options(SESSION).disable_statement_logging())
}

/// Connects once; the error says where to, and why not.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options));
    let cause = match connecting.await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => anyhow::Error::new(error),
        Err(_) => anyhow::anyhow!("no answer within {ACQUIRE_TIMEOUT:?}"),
    };
    let database = options.get_database().unwrap_or_default();
    let (host, port) = (options.get_host(), options.get_port());
    Err(StoreError::Unavailable(cause.context(format!(
        "PostgreSQL, {database} on {host}:{port} (DB_HOST, DB_PORT, DB_NAME or DATABASE_URL)"
    ))))
}

fn pool(settings: &PostgresSettings) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
}

/// Waits until no other session has this turn; kept to the end of the transaction.
async fn take_turn(connection: &mut PgConnection, turn: Turn) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(LOCKS)
        .bind(turn as i32)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// For the rest of a transaction that reads or writes whole tables, and may take its time.
async fn for_whole_tables(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
         SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = on",
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// A job that this session has: the lock ends with the session.
struct SessionLease(PgConnection);

#[async_trait]
impl Lease for SessionLease {
    async fn is_held(&mut self) -> bool {
        self.0.ping().await.is_ok()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        load::load(&self.primary, wanted).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        commit::commit(&self.primary, changes).await
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        load::locate(&self.primary, payments, bookings).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        let mut numbers = self.numbers.lock().await;
        if numbers.is_empty() {
            let sequence =
                "SELECT nextval((SELECT pg_get_serial_sequence('bookings', 'id'))::regclass)
                              FROM generate_series(1, $1)";
            *numbers = sqlx::query_scalar(sequence)
                .bind(NUMBERS_DRAWN)
                .fetch_all(&self.primary)
                .await
                .map_err(store_error)?;
            // The smallest is drawn first.
            numbers.sort_unstable_by(|a, b| b.cmp(a));
        }
        let none = || StoreError::Refused(anyhow::anyhow!("the sequence gave no number"));
        numbers.pop().map(BookingId).ok_or_else(none)
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        flights::create(&self.primary, flight, day, currency, now).await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        flights::import(&self.primary, flights, currency, now).await
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        flights::flight(&self.primary, id).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        flights::search(&self.reader, route, from, until).await
    }

    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        load::booking(&self.primary, id).await
    }

    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        upkeep::user_bookings(&self.primary, user, status, before, limit).await
    }

    async fn lapsed_holds(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<PaymentReference>, StoreError> {
        upkeep::lapsed_holds(&self.primary, now, limit).await
    }

    async fn stranded_bookings(&self, limit: usize) -> Result<Vec<BookingId>, StoreError> {
        upkeep::stranded_bookings(&self.primary, limit).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Payment, Booking)>, StoreError> {
        upkeep::unanswered_payments(&self.primary, before, limit).await
    }

    async fn drive_again(
        &self,
        requests: &[(Payment, OutboxEntry)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        upkeep::drive_again(&self.primary, requests, now).await
    }

    async fn forget_keys(&self, before: Timestamp) -> Result<(), StoreError> {
        upkeep::forget_keys(&self.primary, before).await
    }

    async fn payment_statuses(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentStatus>, StoreError> {
        upkeep::payment_statuses(&self.primary, payments).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        upkeep::outbox(&self.primary, limit).await
    }

    async fn delete_from_outbox(&self, ids: &[i64]) -> Result<(), StoreError> {
        upkeep::delete_from_outbox(&self.primary, ids).await
    }

    async fn outdate_all_instead(&self, ids: &[i64]) -> Result<(), StoreError> {
        upkeep::outdate_all_instead(&self.primary, ids).await
    }

    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let turn = match job {
            Job::Relay => Turn::Relay,
            Job::Sweep => Turn::Sweep,
            Job::Serve => Turn::Serve,
        };
        let mut connection =
            PgConnection::connect_with(&self.options).await.map_err(store_error)?;
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(LOCKS)
            .bind(turn as i32)
            .fetch_one(&mut connection)
            .await
            .map_err(store_error)?;
        Ok(is_ours.then(|| Box::new(SessionLease(connection)) as Box<dyn Lease>))
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        upkeep::backlog(&self.primary, lapsed, asked).await
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        drift::count_seats(&self.primary, asked).await
    }

    fn pools(&self) -> Vec<PoolUse> {
        let pool_use = |pool, connections: &PgPool| PoolUse {
            pool,
            used: u64::from(connections.size()).saturating_sub(connections.num_idle() as u64),
            idle: connections.num_idle() as u64,
            max: u64::from(connections.options().get_max_connections()),
        };
        vec![pool_use("primary", &self.primary), pool_use("reader", &self.reader)]
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM flights)";
        sqlx::query_scalar(query).fetch_one(&self.primary).await.map_err(store_error)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.primary).await.map_err(store_error)?;
        Ok(())
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = self.primary.begin_with(begin).await.map_err(store_error)?;
        for_whole_tables(&mut tx).await?;
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let checked = sqlx::query_scalar(rule.checked).fetch_one(&mut *tx).await;
            let broken = if rule.is_timed() {
                sqlx::query_scalar(rule.broken).bind((now - SWEEP_GRACE).naive_utc())
            } else {
                sqlx::query_scalar(rule.broken)
            };
            let broken = broken.fetch_all(&mut *tx).await.map_err(store_error)?;
            findings.push(rule.finding(checked.map_err(store_error)?, broken));
        }
        Ok(findings)
    }
}
