//! The simulated database, and each replica's connection to it.
//!
//! A write is three events: it arrives at the server, it takes effect, its answer arrives. Faults lie between
//! them; what has arrived takes effect even if its caller is gone.

use super::chance::{Chance, Fault};
use super::process::Process;
use super::rows::{Rows, refused};
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, Invalidation, NewFlight,
    Payment, PaymentReference, Timestamp, UserId, route_key,
};
use airline_booking::rules::{
    ChangeSet, Changes, ChangesId, Claim, OutboxEvent, RequestKey, Stale, State, Wanted,
};
use airline_booking::store::{
    BACKLOG_MAX, Backlog, Bookings, Catalogue, Commits, Committed, Departed, DepartedPage, Erasure,
    Finding, HeldBooking, HeldKey, Job, Lane, Lease, Leases, Located, Maintenance, Numbered,
    OTHERS_MAX, Operations, Outbox, OutboxEntry, Page, PaymentAsked, PaymentsCompared,
    PersonalData, Position, RouteSpan, Scrub, Scrubbed, SeatCount, SeatsAsked, StoreError,
};
use airline_booking::telemetry::PoolUse;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a call is on its way, each way.
const WAY: Duration = Duration::from_micros(600);

/// How long a lost or a slow call takes, at most.
const SLOW: Duration = Duration::from_secs(1);

/// How long a commit that lands late is on its way, at most: longer than the pauses between attempts.
const LATE: Duration = Duration::from_secs(2);

/// How long a commit waits for a row that another session locks; the second is the engine's choice.
const LOCK_WAITS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(250));

/// The database. It outlives every replica.
#[derive(Clone, Default)]
pub struct Database(Arc<Mutex<Rows>>);

impl Database {
    /// The tables, now.
    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends the session that holds a job, as a restart of the server does.
    pub fn end_lease(&self, job: Job) {
        self.rows().leases.remove(job.as_str());
    }
}

/// One replica's connection.
#[derive(Clone)]
pub struct SimStore {
    database: Database,
    process: Process,
}

impl SimStore {
    /// A replica's connection.
    pub fn new(database: &Database, process: &Process) -> Self {
        Self { database: database.clone(), process: process.clone() }
    }

    fn chance(&self) -> &Chance {
        self.process.chance()
    }

    /// The answer of a query.
    async fn read<T>(&self, read: impl FnOnce(&Rows) -> T + Send) -> Result<T, StoreError> {
        self.process.alive().await;
        let way = if self.chance().strikes(Fault::ReadSlow) { SLOW } else { WAY };
        sleep(self.chance().pause(way)).await;
        let answer = read(&self.database.rows());
        if self.chance().strikes(Fault::ReadLost) {
            return Err(lost());
        }
        Ok(answer)
    }

    /// Runs a statement on the server. It takes effect also if the caller leaves.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.process.alive().await;
        if self.chance().strikes(Fault::CommitLostBefore) {
            sleep(self.chance().pause(SLOW)).await;
            return Err(lost());
        }
        let is_late = self.chance().strikes(Fault::CommitLandsLate);
        let is_slow = self.chance().strikes(Fault::CommitSlow);
        let is_slow = is_late || is_slow;
        let there = self.chance().pause(if is_slow { LATE } else { WAY });
        let (reply, answer) = oneshot::channel();
        let database = self.database.clone();
        database.rows().slow_statements += usize::from(is_slow);
        tokio::spawn(async move {
            sleep(there).await;
            let written = {
                let mut rows = database.rows();
                rows.slow_statements -= usize::from(is_slow);
                write(&mut rows)
            };
            // Fails if the caller has left.
            let _ = reply.send(written);
        });
        if is_late {
            sleep(self.chance().pause(WAY)).await;
            return Err(lost());
        }
        let answer = answer.await.expect("the server answers");
        sleep(self.chance().pause(WAY)).await;
        if self.chance().strikes(Fault::CommitLostAfter) {
            return Err(lost());
        }
        Ok(answer)
    }

    /// Waits for locks of other sessions on the flights that a commit writes, as long as it may. Returns those
    /// that are locked still.
    async fn wait_for_locks(&self, changes: &ChangeSet) -> Stale {
        let (usual, brief) = LOCK_WAITS;
        let deadline = Instant::now() + if changes.waits_briefly { brief } else { usual };
        let flights: Vec<FlightId> = changes.flights().map(|change| change.after.id).collect();
        let free_at = {
            let rows = self.database.rows();
            flights.iter().filter_map(|flight| rows.locked.get(flight).copied()).max()
        };
        let Some(free_at) = free_at.filter(|at| *at > Instant::now()) else {
            return Stale::default();
        };
        sleep_until(free_at.min(deadline)).await;
        let (rows, now) = (self.database.rows(), Instant::now());
        let is_locked =
            |flight: &FlightId| rows.locked.get(flight).is_some_and(|until| *until > now);
        Stale { flights: flights.into_iter().filter(is_locked).collect(), ..Stale::default() }
    }
}

/// A commit, for the trace.
fn told(changes: &ChangeSet, committed: Result<&Committed, &StoreError>) -> String {
    let stale = match committed {
        Ok(committed) => &committed.stale,
        Err(error) => return format!("database: refuses a commit, {error}"),
    };
    let command = |(id, command): (ChangesId, &Changes)| {
        let flights = command
            .flights
            .iter()
            .map(|c| format!(" flight {}→{}", c.was.version, c.after.version));
        let bookings = command
            .bookings
            .iter()
            .map(|c| format!(" booking {} {:?}→{:?}", c.after.id, c.was, c.after.status));
        let payment =
            command.payment.as_ref().map(|c| format!(" payment {:?}→{:?}", c.was, c.after.status));
        let stale = if stale.contains(&id) { " STALE" } else { "" };
        flights.chain(bookings).chain(payment).chain([stale.to_owned()]).collect::<String>()
    };
    let commands: Vec<_> = changes.iter().map(command).collect();
    format!("database: commits{}", commands.join(","))
}

/// The connection broke.
fn lost() -> StoreError {
    StoreError::Unavailable(anyhow::anyhow!("simulated"))
}

#[async_trait]
impl Commits for SimStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        self.read(|rows| rows.load(wanted)).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        self.process.alive().await;
        assert!(!self.chance().strikes(Fault::CommitPanics), "{PLANNED_PANIC} before a commit");
        if self.chance().strikes(Fault::CommitTimesOut) {
            sleep(self.chance().pause(SLOW)).await;
            return Err(StoreError::TimedOut(anyhow::anyhow!("simulated")));
        }
        let locked = self.wait_for_locks(changes).await;
        let (set, chance) = (changes.clone(), self.chance().clone());
        if planted!(commit_lost_after_its_answer) && chance.below(32) == 0 {
            return Ok(Committed::default());
        }
        let committed = self.write(move |rows| {
            let mut committed = rows.commit(&set, &locked);
            if planted!(commit_sent_twice) && chance.below(16) == 0 {
                committed = rows.commit(&set, &locked);
            }
            chance.step(|| told(&set, committed.as_ref()));
            committed
        });
        let committed = committed.await?;
        assert!(!self.chance().strikes(Fault::CommitPanicsAfter), "{PLANNED_PANIC} after a commit");
        committed
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        let locate = |rows: &Rows| {
            let flight = |id: &BookingId| rows.bookings.get(id).map(|booking| booking.flight_id);
            let of_payment = |p: &PaymentReference| Some((*p, flight(rows.paid_by.get(p)?)?));
            Located {
                payments: payments.iter().filter_map(of_payment).collect(),
                bookings: bookings.iter().filter_map(|id| Some((*id, flight(id)?))).collect(),
            }
        };
        self.read(locate).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        let mut rows = self.database.rows();
        if planted!(taken_number_is_not_noticed) && rows.last_booking % 4 == 3 {
            rows.last_booking -= 1;
        }
        rows.last_booking += 1;
        Ok(BookingId(rows.last_booking))
    }

    async fn draw_booking_id_instead_of(&self, _taken: BookingId) -> Result<BookingId, StoreError> {
        {
            let mut rows = self.database.rows();
            let highest = rows.bookings.keys().next_back().map_or(0, |id| id.0);
            rows.last_booking = rows.last_booking.max(highest);
        }
        self.draw_booking_id().await
    }
}

/// Every simulated panic says this, so that a run tells them from bugs.
pub const PLANNED_PANIC: &str = "a simulated panic";

#[async_trait]
impl Catalogue for SimStore {
    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        let day = day.clone();
        self.write(move |rows| rows.create_flight(flight, &day, currency, now)).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let (request, day) = (request.clone(), day.clone());
        self.write(move |rows| rows.create_flight_once(&request, flight, &day, currency, now)).await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let flights = flights.to_vec();
        self.write(move |rows| rows.import(&flights, currency, now)).await
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        self.read(|rows| rows.flights.get(&id).cloned()).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let is_found = |flight: &&Flight| {
            route_key(&flight.source, &flight.destination) == route
                && (from..until).contains(&flight.departs_at)
                && flight.flight_status.is_for_sale()
                && flight.free_seats() > 0
        };
        let mut found: Vec<Flight> =
            self.read(|rows| rows.flights.values().filter(is_found).cloned().collect()).await?;
        found.sort_by_key(|flight| (flight.departs_at, flight.id));
        Ok(found)
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        let is_in = |flight: &&Flight| {
            let route = route_key(&flight.source, &flight.destination);
            spans.iter().any(|span| {
                span.route == route && (span.from..span.until).contains(&flight.departs_at)
            })
        };
        self.read(|rows| rows.flights.values().filter(is_in).cloned().collect()).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|rows| rows.flights.is_empty()).await
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        let is_named = |flight: &&Flight| {
            flight.flight_number.as_ref().is_some_and(|n| numbers.iter().any(|own| **own == **n))
        };
        let compare = |rows: &Rows| {
            let named = rows.flights.values().filter(is_named);
            let newest = named.clone().map(|flight| flight.created_at).max();
            let others = (rows.flights.len() - named.count()) as i64;
            let newest = newest.filter(|_| others < OTHERS_MAX);
            Numbered { others: others.min(OTHERS_MAX), newest }
        };
        self.read(compare).await
    }
}

#[async_trait]
impl Bookings for SimStore {
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        if planted!(reads_lag_behind) && self.chance().below(4) == 0 {
            return self
                .read(|rows| rows.earlier.get(&id).or(rows.bookings.get(&id)).cloned())
                .await;
        }
        self.read(|rows| rows.bookings.get(&id).cloned()).await
    }

    async fn bookings_of_user(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        let is_listed = |booking: &&Booking| {
            booking.user_id == user
                && status.is_none_or(|status| booking.status == status)
                && before.is_none_or(|before| booking.id < before)
        };
        let list = |rows: &Rows| {
            rows.bookings.values().rev().filter(is_listed).take(limit).cloned().collect()
        };
        self.read(list).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        let asked = |rows: &Rows| {
            let asked = |reference: &PaymentReference| {
                let payment = rows.payments.get(reference)?;
                let booking = rows.bookings.get(rows.paid_by.get(reference)?)?;
                let asked = PaymentAsked {
                    amount: payment.amount,
                    currency: payment.currency,
                    method: payment.method.clone(),
                    status: payment.status,
                    hold_expires_at: booking.hold_expires_at,
                };
                Some((*reference, asked))
            };
            payments.iter().filter_map(asked).collect()
        };
        self.read(asked).await
    }

    async fn adopted_bookings(
        &self,
        _after: BookingId,
        _limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        Ok((Vec::new(), None))
    }
}

#[async_trait]
impl Leases for SimStore {
    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.process.alive().await;
        let session = self.database.rows().lease(job);
        let lease = |session| {
            let (database, chance) = (self.database.clone(), self.chance().clone());
            Box::new(SimLease { database, chance, job, session }) as Box<dyn Lease>
        };
        Ok(session.map(lease))
    }
}

/// A held job. The server frees it when it is dropped, and with it the session of a killed process.
struct SimLease {
    database: Database,
    chance: Chance,
    job: Job,
    session: u64,
}

impl SimLease {
    fn is_ours(&self) -> bool {
        self.database.rows().leases.get(self.job.as_str()) == Some(&self.session)
    }
}

#[async_trait]
impl Lease for SimLease {
    async fn is_held(&mut self) -> bool {
        if self.chance.strikes(Fault::LeaseLost) && self.is_ours() {
            // Another process may take it before this one asks again.
            self.database.end_lease(self.job);
            return true;
        }
        self.is_ours()
    }
}

impl Drop for SimLease {
    fn drop(&mut self) {
        if self.is_ours() {
            self.database.end_lease(self.job);
        }
    }
}

/// The rows after a position, and where the next page begins.
fn page<T>(mut rows: Vec<(Position, T)>, after: Option<&Position>, limit: usize) -> Page<T> {
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.retain(|(position, _)| after.is_none_or(|after| position > after));
    rows.truncate(limit);
    if planted!(pages_lack_their_last_row) {
        rows.pop();
    }
    let next = rows.last().map(|(position, _)| position.clone()).filter(|_| rows.len() >= limit);
    Page { found: rows.into_iter().map(|(_, row)| row).collect(), next }
}

#[async_trait]
impl Maintenance for SimStore {
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        let lapsed = |rows: &Rows| {
            let lapsed = rows.bookings.values().filter(|booking| {
                booking.status == BookingStatus::Pending && booking.hold_expires_at <= now
            });
            let row = |b: &Booking| {
                (Position::at(b.hold_expires_at, b.payment_reference), b.payment_reference)
            };
            page(lapsed.map(row).collect(), after, limit)
        };
        self.read(lapsed).await
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        let stranded = |rows: &Rows| {
            let is_live = |booking: &&Booking| {
                matches!(booking.status, BookingStatus::Pending | BookingStatus::Completed)
                    && !(planted!(paid_bookings_stay_stranded)
                        && booking.status == BookingStatus::Completed)
                    && rows.flights[&booking.flight_id].flight_status
                        == airline_booking::domain::FlightStatus::Cancelled
            };
            let live = rows.bookings.values().filter(is_live);
            let mut ids: Vec<_> = live.map(|booking| (booking.flight_id, booking.id)).collect();
            ids.sort_unstable();
            ids.retain(|ids| after.is_none_or(|after| *ids > after));
            ids.truncate(limit);
            ids
        };
        self.read(stranded).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        let unanswered = |rows: &Rows| {
            let row = |(payment, booking): (&Payment, &Booking)| {
                let position = Position::at(payment.updated_at, payment.reference);
                (position, (payment.clone(), booking.without_passengers()))
            };
            page(rows.unanswered(before).into_iter().map(row).collect(), after, limit)
        };
        self.read(unanswered).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let requests = requests.to_vec();
        self.write(move |rows| rows.redrive(&requests, now)).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let forget = move |rows: &mut Rows| {
            let had = rows.keys.len() + rows.requests.len();
            let old = rows.keys.iter().filter(|(_, record)| record.created_at < before);
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(limit).collect();
            rows.keys.retain(|name, _| !old.contains(name));
            let left = limit - old.len();
            let old = rows.requests.iter().filter(|(_, record)| record.created_at < before);
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(left).collect();
            rows.requests.retain(|name, _| !old.contains(name));
            had - rows.keys.len() - rows.requests.len()
        };
        self.write(forget).await
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        let count = |rows: &Rows| Backlog {
            outbox: rows
                .outbox
                .values()
                .map(|e| e.messages.len() as i64)
                .sum::<i64>()
                .min(BACKLOG_MAX),
            outbox_since: rows.outbox.values().next().map(|entry| entry.since),
            stuck_bookings: rows
                .bookings
                .values()
                .filter(|b| b.status == BookingStatus::Pending && b.hold_expires_at <= lapsed)
                .count() as i64,
            unanswered_payments: rows.unanswered(asked).len() as i64,
        };
        self.read(count).await
    }

    async fn renew_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Outbox for SimStore {
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let sent = sent.to_vec();
        self.write(move |rows| rows.drain(lane, &sent, messages)).await
    }

    async fn invalidations(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        let oldest = |rows: &Rows| {
            rows.invalidations.iter().take(limit).map(|(id, all)| (*id, all.clone())).collect()
        };
        self.read(oldest).await
    }

    async fn forget_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let forget = move |rows: &mut Rows| {
            rows.invalidations.retain(|id, _| !ids.contains(id));
            if all {
                rows.add_invalidation(Invalidation::All);
            }
        };
        self.write(forget).await
    }
}

#[async_trait]
impl Operations for SimStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|_| ()).await
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn pools(&self) -> Vec<PoolUse> {
        Vec::new()
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::new()
    }

    async fn count_seats(&self, _asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        Ok(Vec::new())
    }

    async fn compare_payments(
        &self,
        _asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        Ok(Vec::new())
    }

    /// The audit of a run is [`super::audit`], which knows the gateway's ledger too.
    async fn audit(&self, _now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        Err(refused("the simulation audits by itself".to_owned()))
    }
}

/// No booking of a run departs, so nothing here is due.
#[async_trait]
impl PersonalData for SimStore {
    async fn bookings_held(
        &self,
        _user: UserId,
        _after: BookingId,
        _limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError> {
        Ok(Vec::new())
    }

    async fn keys_held(
        &self,
        _user: UserId,
        _after: Option<&HeldKey>,
        _limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn erasures_of(&self, _user: UserId, _limit: usize) -> Result<Vec<Erasure>, StoreError> {
        Ok(Vec::new())
    }

    async fn erase_passengers(
        &self,
        _bookings: &[BookingId],
        _of: Option<UserId>,
        _now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        Ok(Vec::new())
    }

    async fn erase_keys(
        &self,
        _user: UserId,
        _now: Timestamp,
        _limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn end_erasure(
        &self,
        _user: UserId,
        _kept: usize,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn departed_bookings(
        &self,
        _until: Timestamp,
        _after: Option<Departed>,
        _limit: usize,
    ) -> Result<DepartedPage, StoreError> {
        Ok(DepartedPage::default())
    }

    async fn scrub(&self, _how: Scrub) -> Result<Scrubbed, StoreError> {
        Ok(Scrubbed::ByServer)
    }
}
