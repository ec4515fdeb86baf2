//! A store that fails when told to; everything else is the real one's.

use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Currency, DayKey, Flight, FlightId, Invalidation, NewFlight,
    Payment, PaymentReference, Timestamp, UserId,
};
use airline_booking::rules::{
    Change, ChangeSet, Changes, Claim, OutboxEvent, RequestKey, State, Wanted,
};
use airline_booking::store::{
    Backlog, Committed, Departed, DepartedPage, Erasure, Finding, HeldBooking, HeldKey, Job, Lane,
    Lease, Located, Numbered, OutboxEntry, Page, PaymentAsked, PaymentsCompared, PersonalData,
    Position, RouteSpan, Scrub, Scrubbed, SeatCount, SeatsAsked, Store, StoreError,
};
use airline_booking::telemetry::PoolUse;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What the next commit does instead of simply committing.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection is lost before anything is written.
    LostBefore,
    /// All is written, and the connection is lost before the answer.
    LostAfter,
    /// Another replica commits a change of this flight first.
    Overtaken(FlightId),
    /// All is written, another replica commits a change of this flight, and the connection is lost.
    LostAfterOvertaken(FlightId),
    /// Refused while the batch holds a booking of this many seats.
    RefusesSeats(i32),
    /// A bug, before anything is written.
    Panics,
    /// All is written, and then there is a bug.
    PanicsAfter,
    /// A bug while the batch holds a booking of this many seats.
    PanicsAtSeats(i32),
}

/// What reading a flight does from now on, and asking whether the store answers.
#[derive(Debug, Clone, Copy)]
pub enum ReadFault {
    /// A bug.
    Panics,
    /// No answer, ever.
    Hangs,
}

/// The real store with faults to come.
pub struct FaultyStore {
    real: Arc<dyn Store>,
    faults: Mutex<VecDeque<Fault>>,
    read_fault: Mutex<Option<ReadFault>>,
    kept: Mutex<Option<BookingId>>,
    pings: AtomicUsize,
    looks: AtomicUsize,
    loads: AtomicUsize,
    commits: AtomicUsize,
    gate: Gate,
}

/// Where commits of some flights wait.
#[derive(Default)]
struct Gate {
    closed_for: watch::Sender<BTreeSet<FlightId>>,
    waiting: Mutex<Vec<BTreeSet<FlightId>>>,
}

impl Gate {
    async fn pass(&self, changes: &ChangeSet) {
        let changed = changes.commands.iter().filter_map(|command| command.flight.as_ref());
        let flights: BTreeSet<FlightId> = changed.map(|change| change.after.id).collect();
        let mut closed_for = self.closed_for.subscribe();
        if flights.is_disjoint(&closed_for.borrow()) {
            return;
        }
        self.waiting.lock().expect("no panic").push(flights.clone());
        let is_open = |closed_for: &BTreeSet<FlightId>| flights.is_disjoint(closed_for);
        closed_for.wait_for(is_open).await.expect("the gate is there");
        self.waiting.lock().expect("no panic").retain(|waiting| *waiting != flights);
    }
}

impl FaultyStore {
    pub fn new(real: Arc<dyn Store>) -> Self {
        Self {
            real,
            faults: Mutex::default(),
            read_fault: Mutex::default(),
            kept: Mutex::default(),
            pings: AtomicUsize::default(),
            looks: AtomicUsize::default(),
            loads: AtomicUsize::default(),
            commits: AtomicUsize::default(),
            gate: Gate::default(),
        }
    }

    /// From now on commits of these flights wait, and of no others.
    pub fn hold_back(&self, flights: impl IntoIterator<Item = FlightId>) {
        self.gate.closed_for.send_replace(flights.into_iter().collect());
    }

    /// The flights of each commit that waits.
    pub fn held_back(&self) -> Vec<BTreeSet<FlightId>> {
        self.gate.waiting.lock().expect("no panic").clone()
    }

    /// How often rows of a batch were loaded, and written.
    pub fn loads_and_commits(&self) -> (usize, usize) {
        (self.loads.load(Ordering::SeqCst), self.commits.load(Ordering::SeqCst))
    }

    /// Strikes all reads of flights until it is `None`.
    pub fn strike_reads(&self, fault: Option<ReadFault>) {
        *self.read_fault.lock().expect("no panic") = fault;
    }

    /// Refuses to erase the passengers of this booking.
    pub fn refuse_to_erase(&self, booking: Option<BookingId>) {
        *self.kept.lock().expect("no panic") = booking;
    }

    /// How often it was asked whether it answers.
    pub fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }

    /// How often the service looked into the outbox.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    async fn read(&self) {
        let fault = *self.read_fault.lock().expect("no panic");
        match fault {
            Some(ReadFault::Panics) => panic!("a planted bug"),
            Some(ReadFault::Hangs) => std::future::pending().await,
            None => {}
        }
    }

    /// Each fault strikes one commit, in order; those that wait for a number of seats stay.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().expect("no panic").extend(faults);
    }

    /// No fault from now on.
    pub fn heal(&self) {
        self.faults.lock().expect("no panic").clear();
    }

    async fn overtake(&self, flight: FlightId) -> Result<(), StoreError> {
        // The flight's own batch may be quicker, if the fault struck another's.
        loop {
            let was = self.real.flight(flight).await?.expect("the flight exists");
            let after = was.clone().next_version(was.updated_at);
            let changes = Changes { flight: Some(Change { was, after }), ..Changes::default() };
            let overtaking = ChangeSet { commands: vec![changes], ..ChangeSet::default() };
            if self.real.commit(&overtaking).await?.stale.is_empty() {
                return Ok(());
            }
        }
    }

    fn next_fault(&self, changes: &ChangeSet) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("no panic");
        match *faults.front()? {
            fault @ (Fault::RefusesSeats(seats) | Fault::PanicsAtSeats(seats)) => {
                let bookings = changes.commands.iter().filter_map(|c| c.booking.as_ref());
                let struck = bookings.into_iter().any(|b| b.after.seats_booked == seats);
                struck.then_some(fault)
            }
            _ => faults.pop_front(),
        }
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable(anyhow::anyhow!("the connection was lost"))
}

#[async_trait]
impl Store for FaultyStore {
    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.gate.pass(changes).await;
        match self.next_fault(changes) {
            None => self.real.commit(changes).await,
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::LostAfter) => {
                self.real.commit(changes).await?;
                Err(lost())
            }
            Some(Fault::Overtaken(flight)) => {
                self.overtake(flight).await?;
                self.real.commit(changes).await
            }
            Some(Fault::LostAfterOvertaken(flight)) => {
                self.real.commit(changes).await?;
                self.overtake(flight).await?;
                Err(lost())
            }
            Some(Fault::Panics | Fault::PanicsAtSeats(_)) => panic!("a planted bug"),
            Some(Fault::PanicsAfter) => {
                self.real.commit(changes).await?;
                panic!("a planted bug")
            }
            Some(Fault::RefusesSeats(_)) => {
                Err(StoreError::Refused(anyhow::anyhow!("a rule of the schema")))
            }
        }
    }

    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.real.load(wanted).await
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        self.real.locate(payments, bookings).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        self.real.draw_booking_id().await
    }

    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError> {
        self.real.draw_booking_id_instead_of(taken).await
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        self.real.create_flight(flight, day, currency, now).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        self.real.create_flight_once(request, flight, day, currency, now).await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.real.import_flights(flights, currency, now).await
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        self.read().await;
        self.real.flight(id).await
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        self.real.departures(spans).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        self.real.search(route, from, until).await
    }

    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        self.real.booking(id).await
    }

    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        self.real.user_bookings(user, status, before, limit).await
    }

    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        self.real.lapsed_holds(now, after, limit).await
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        self.real.stranded_bookings(after, limit).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        self.real.unanswered_payments(before, after, limit).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.real.redrive(requests, now).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.real.forget_keys(before, limit).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        self.real.payments_asked(payments).await
    }

    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let looked = self.real.outbox(lane, sent, messages).await;
        self.looks.fetch_add(1, Ordering::SeqCst);
        looked
    }

    async fn outdated(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        self.real.outdated(limit).await
    }

    async fn forget_outdated(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        self.real.forget_outdated(ids, all).await
    }

    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.real.lease(job).await
    }

    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        self.real.adopted_bookings(after, limit).await
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        self.real.backlog(lapsed, asked).await
    }

    async fn renew_statistics(&self) -> Result<(), StoreError> {
        self.real.renew_statistics().await
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        self.real.count_seats(asked).await
    }

    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        self.real.compare_payments(asked).await
    }

    fn pools(&self) -> Vec<PoolUse> {
        self.real.pools()
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        self.real.unreadable()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.real.is_empty().await
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        self.real.numbered(numbers).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        self.read().await;
        self.real.ping().await
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        self.real.is_served().await
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        self.real.audit(now).await
    }
}

#[async_trait]
impl PersonalData for FaultyStore {
    async fn bookings_held(
        &self,
        user: UserId,
        after: BookingId,
        limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError> {
        self.real.bookings_held(user, after, limit).await
    }

    async fn keys_held(
        &self,
        user: UserId,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError> {
        self.real.keys_held(user, after, limit).await
    }

    async fn erasures_of(&self, user: UserId, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        self.real.erasures_of(user, limit).await
    }

    async fn erase_passengers(
        &self,
        bookings: &[BookingId],
        of: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        let kept = *self.kept.lock().expect("no panic");
        if kept.is_some_and(|kept| bookings.contains(&kept)) {
            return Err(StoreError::Refused(anyhow::anyhow!("a rule of the schema")));
        }
        self.real.erase_passengers(bookings, of, now).await
    }

    async fn erase_keys(
        &self,
        user: UserId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.real.erase_keys(user, now, limit).await
    }

    async fn end_erasure(
        &self,
        user: UserId,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.real.end_erasure(user, kept, now).await
    }

    async fn departed_bookings(
        &self,
        until: Timestamp,
        after: Option<Departed>,
        limit: usize,
    ) -> Result<DepartedPage, StoreError> {
        self.real.departed_bookings(until, after, limit).await
    }

    async fn scrub(&self, how: Scrub) -> Result<Scrubbed, StoreError> {
        self.real.scrub(how).await
    }
}
