//! PostgreSQL: the store that any number of replicas share.
//!
//! Every commit is one statement whatever the batch ([`commit`]). Sessions give up on statements
//! and locks after some seconds, so that a hung server is an outage and not a standstill; calls give
//! up a little later on a server that is not to be heard at all ([`silence`]).

mod adopt;
mod clock;
mod columns;
mod commit;
mod connect;
mod drift;
mod error;
mod flights;
mod keys;
mod load;
mod locked;
mod moves;
mod numbers;
mod patience;
mod personal;
mod reader;
mod request_keys;
mod rewrite;
mod schema;
mod silence;
mod statement;
mod transaction;
mod turns;
mod unit;
mod upkeep;

use super::audit::{RULES, SWEEP_GRACE};
use super::unreadable::Unreadable;
use super::{
    Backlog, Committed, Finding, Job, Lane, Lease, Located, Numbered, OutboxEntry, Page,
    PaymentAsked, PaymentsCompared, Position, RouteSpan, SeatCount, SeatsAsked, Store, StoreError,
};
use crate::clock::{Clock, OffsetClock};
use crate::config::PostgresSettings;
use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, Invalidation, NewFlight,
    Payment, PaymentReference, Timestamp, UserId,
};
use crate::rules::{ChangeSet, Claim, OutboxEvent, RequestKey, State, Wanted};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use numbers::Numbers;
use reader::Reader;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use turns::{Turn, for_whole_tables};

pub use adopt::Symptom;
pub(in crate::store) use error::is_away;
pub(crate) use silence::Silence;
pub(crate) use transaction::begin;

/// A server that replicas share.
pub struct PostgresStore {
    primary: PgPool,
    /// Where searches read.
    reader: Reader,
    options: PgConnectOptions,
    numbers: Numbers,
    clock: Arc<OffsetClock>,
    silence: Arc<Silence>,
    unreadable: Unreadable,
    version_limit: i64,
}

impl PostgresStore {
    /// Connects, and brings the service's own schema up to date. A database of the specified
    /// schema, with the specification's two tables alone, is adopted only if `adopt` says so.
    ///
    /// New columns of adopted flights say `currency`. A database whose amounts have other decimals
    /// is refused.
    pub async fn open(
        settings: &PostgresSettings,
        currency: Currency,
        adopt: bool,
    ) -> Result<Self, StoreError> {
        let options = connect::options(settings)?;
        let mut first = connect::connect(&options).await?;
        schema::bring_up_to_date(&mut first, currency, adopt).await?;
        keys::renew(&mut first).await?;
        let version_limit = rewrite::version_limit(&mut first).await?;
        // It was only for the start; the server closes what is not said goodbye to.
        let _ = first.close().await;
        let silence = Arc::default();
        let primary = connect::pool(settings, &silence).connect_lazy_with(options.clone());
        let replica = settings.read_host.as_ref().map(|host| {
            connect::pool(settings, &silence).connect_lazy_with(options.clone().host(host))
        });
        let reader = Reader::new(replica);
        let (numbers, clock) = (Numbers::default(), Arc::default());
        let unreadable = Unreadable::default();
        let store =
            Self { primary, reader, options, numbers, clock, silence, unreadable, version_limit };
        store.set_clock().await?;
        Ok(store)
    }

    /// Connects once and changes nothing; a server that answers and will not have us has refused.
    pub async fn try_out(settings: &PostgresSettings) -> Result<(), StoreError> {
        let connection = connect::connect(&connect::options(settings)?).await?;
        let _ = connection.close().await;
        Ok(())
    }

    /// What stands in the way of adopting a database of the specified schema, and what adoption
    /// would change; `None` if the database is not one.
    pub async fn examine(settings: &PostgresSettings) -> Result<Option<Vec<Symptom>>, StoreError> {
        let options = connect::options(settings)?;
        let mut connection = connect::connect(&options).await?;
        if !schema::is_specified(&mut connection).await? {
            return Ok(None);
        }
        adopt::examine(&mut connection).await.map(Some)
    }

    /// The database's clock, as it was when [`Self::set_clock`] last looked at it.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
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
        .map_err(StoreError::from)
    }

    /// The pool and the guard of its calls, for adapters that keep their rows in the same database.
    pub(crate) fn connections(&self) -> (PgPool, Arc<Silence>) {
        (self.primary.clone(), self.silence.clone())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        if let Some(replica) = self.reader.pool() {
            replica.close().await;
        }
        self.primary.close().await;
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        self.silence.bound(load::load(&self.primary, &self.unreadable, wanted)).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        self.silence.bound(commit::commit(&self.primary, changes)).await
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        self.silence.bound(load::locate(&self.primary, payments, bookings)).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        self.numbers.draw(&self.primary, &self.silence).await
    }

    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError> {
        self.numbers.draw_instead_of(taken, &self.primary, &self.silence).await
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        self.silence.bound(flights::create(&self.primary, flight, day, currency, now)).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let created = flights::create_once(&self.primary, request, flight, day, currency, now);
        self.silence.bound(created).await
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
        self.silence.bound(flights::flight(&self.primary, id)).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        if let Some(found) =
            self.reader.search(&self.silence, &self.unreadable, route, from, until).await
        {
            return Ok(found);
        }
        self.silence
            .bound(flights::search(&self.primary, &self.unreadable, route, from, until))
            .await
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        self.silence.bound(flights::departures(&self.primary, spans)).await
    }

    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        self.silence.bound(load::booking(&self.primary, id)).await
    }

    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        self.silence
            .bound(upkeep::user_bookings(
                &self.primary,
                &self.unreadable,
                user,
                status,
                before,
                limit,
            ))
            .await
    }

    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        let found = upkeep::lapsed_holds(&self.primary, &self.unreadable, now, after, limit);
        self.silence.bound(found).await
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        let found = upkeep::stranded_bookings(&self.primary, after, limit);
        self.silence.bound(found).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        let found =
            upkeep::unanswered_payments(&self.primary, &self.unreadable, before, after, limit);
        self.silence.bound(found).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.silence.bound(upkeep::redrive(&self.primary, requests, now)).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.silence.bound(upkeep::forget_keys(&self.primary, before, limit)).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        let asked = upkeep::payments_asked(&self.primary, &self.unreadable, payments);
        self.silence.bound(asked).await
    }

    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let look = upkeep::outbox(&self.primary, &self.unreadable, lane, sent, messages);
        self.silence.bound(look).await
    }

    async fn outdated(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        let outdated = upkeep::outdated(&self.primary, &self.unreadable, limit);
        self.silence.bound(outdated).await
    }

    async fn forget_outdated(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        self.silence.bound(upkeep::forget_outdated(&self.primary, ids, all)).await
    }

    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let turn = match job {
            Job::Relay => Turn::Relay,
            Job::Sweep => Turn::Sweep,
            Job::Serve => Turn::Serve,
        };
        turns::lease(&self.options, &self.silence, turn).await
    }

    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        self.silence.bound(upkeep::adopted_bookings(&self.primary, after, limit)).await
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        self.silence.bound(upkeep::backlog(&self.primary, lapsed, asked)).await
    }

    async fn renew_statistics(&self) -> Result<(), StoreError> {
        self.silence.bound(upkeep::renew_statistics(&self.primary)).await
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        self.silence.bound(drift::count_seats(&self.primary, asked)).await
    }

    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        self.silence.bound(drift::compare_payments(&self.primary, asked)).await
    }

    fn pools(&self) -> Vec<PoolUse> {
        let pool_use = |pool, connections: &PgPool| PoolUse {
            pool,
            used: u64::from(connections.size()).saturating_sub(connections.num_idle() as u64),
            idle: connections.num_idle() as u64,
            max: u64::from(connections.options().get_max_connections()),
        };
        let reader = self.reader.pool().unwrap_or(&self.primary);
        vec![pool_use("primary", &self.primary), pool_use("reader", reader)]
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        self.unreadable.count()
    }

    fn version_limit(&self) -> i64 {
        self.version_limit
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM flights)");
        let answer = query.fetch_one(&self.primary);
        self.silence.bound(answer).await
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        self.silence.bound(flights::numbered(&self.primary, numbers)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let answer = sqlx::query("SELECT 1").execute(&self.primary);
        self.silence.bound(answer).await.map(|_| ())
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        let asked = async {
            let mut connection = self.primary.acquire().await?;
            schema::is_served(&mut connection).await
        };
        self.silence.bound(asked).await
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = transaction::begin_with(&self.primary, begin).await?;
        for_whole_tables(&mut tx).await?;
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let checked = sqlx::query_scalar(rule.checked).fetch_one(&mut *tx).await;
            let broken = if rule.is_timed() {
                sqlx::query_scalar(rule.broken).bind((now - SWEEP_GRACE).naive_utc())
            } else {
                sqlx::query_scalar(rule.broken)
            };
            let broken = broken.fetch_all(&mut *tx).await?;
            findings.push(rule.finding(checked?, broken));
        }
        tx.roll_back().await?;
        Ok(findings)
    }
}
