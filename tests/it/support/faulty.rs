//! A store that fails on request and otherwise delegates to the real one.

use airline_booking::domain::{
    Booking, BookingId, BookingLife, BookingStatus, Channel, Currency, DayKey, DaySales, Delivery,
    DeliveryId, Disruption, Entry, FareRules, Flight, FlightId, Invalidation, NewDelivery,
    NewFlight, NextAction, OrderRecord, Payment, PaymentReference, Refund, RefundId, SeatsMoved,
    Timestamp, UserId, WaitlistId, Webhook, WebhookId,
};
use airline_booking::rules::{
    Change, ChangeSet, Changes, Claim, OutboxEvent, RequestKey, State, Wanted,
};
use airline_booking::store::{
    Attempt, Backlog, Bookings, Catalogue, Commits, Committed, Deliveries, Departed, DepartedPage,
    EntryCounts, EntryRecord, Erasure, EventRows, Finding, FlightFilter, FlightPlace, HeldBooking,
    HeldChange, HeldKey, HeldMessage, History, Job, Lane, Lease, Leases, LinesDue, Located,
    Maintenance, MessageDone, Messages, NewMessage, Numbered, Operations, Outbox, OutboxEntry,
    Page, PaymentAsked, PaymentNotes, PaymentsCompared, PendingMessages, PersonalData, Position,
    RefundAsked, RefundDue, Refunds, RouteSpan, Sales, Scrub, Scrubbed, SeatCount, SeatsAsked,
    Store, StoreError, TakenMessage, WaitingLists, WebhookChange, WebhookCounts, Webhooks,
};
use airline_booking::telemetry::PoolUse;
use async_trait::async_trait;
use chrono::NaiveDate;
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
    /// The connection is lost, and the server writes all once [`FaultyStore::land`] lets it.
    LostUntilLanded,
    /// The late commit reaches the server first.
    LandsFirst,
    /// The connection is lost. Another replica has left the flight exactly as this commit would have.
    LostToAnEqual,
    /// Another replica settles this batch's payments first, where nothing but the payment changes.
    PaymentsOvertaken,
    /// Another session locks every row.
    Locked,
    /// Refused, whatever it holds.
    Refuses,
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
    late: Mutex<Option<ChangeSet>>,
}

/// Where commits of some flights wait.
#[derive(Default)]
struct Gate {
    closed_for: watch::Sender<BTreeSet<FlightId>>,
    waiting: Mutex<Vec<BTreeSet<FlightId>>>,
}

impl Gate {
    async fn pass(&self, changes: &ChangeSet) {
        let flights: BTreeSet<FlightId> = changes.flights().map(|change| change.after.id).collect();
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
            late: Mutex::default(),
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

    /// Lets the late commit reach the server. Returns what it wrote and did not.
    pub async fn land(&self) -> Committed {
        let late = self.late.lock().expect("no panic").take().expect("a commit is late");
        self.real.commit(&late).await.expect("the store answers")
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
            let changes = Changes { flights: vec![Change { was, after }], ..Changes::default() };
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
                let bookings = changes.commands.iter().flat_map(|c| &c.bookings);
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

type Answer<T> = Result<T, StoreError>;

/// A role of [`FaultyStore`]: its own methods in the first block, the real store's in the second.
macro_rules! role {
    (
        $role:ident { $($own:tt)* }
        real { $(async fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* }
    ) => {
        #[async_trait]
        impl $role for FaultyStore {
            $($own)*
            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.real.$name($($argument),*).await
            })*
        }
    };
}

role! {
    Commits {
        async fn commit(&self, changes: &ChangeSet) -> Answer<Committed> {
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
                Some(Fault::LostUntilLanded) => {
                    *self.late.lock().expect("no panic") = Some(changes.clone());
                    Err(lost())
                }
                Some(Fault::LandsFirst) => {
                    assert!(self.land().await.stale.is_empty(), "it is written");
                    self.real.commit(changes).await
                }
                Some(Fault::LostToAnEqual) => {
                    let flights = changes.flights().cloned();
                    let alone = |flight| Changes { flights: vec![flight], ..Changes::default() };
                    let equal = ChangeSet { commands: flights.map(alone).collect(), ..ChangeSet::default() };
                    self.real.commit(&equal).await?;
                    Err(lost())
                }
                Some(Fault::PaymentsOvertaken) => {
                    let commands = changes.commands.iter().filter(|command| command.flights.is_empty());
                    let first = ChangeSet { commands: commands.cloned().collect(), ..ChangeSet::default() };
                    self.real.commit(&first).await?;
                    self.real.commit(changes).await
                }
                Some(Fault::Locked) => {
                    let all: BTreeSet<_> = changes.iter().map(|(id, _)| id).collect();
                    Ok(Committed { stale: all.clone(), locked: all, ..Committed::default() })
                }
                Some(Fault::Panics | Fault::PanicsAtSeats(_)) => panic!("a planted bug"),
                Some(Fault::PanicsAfter) => {
                    self.real.commit(changes).await?;
                    panic!("a planted bug")
                }
                Some(Fault::RefusesSeats(_) | Fault::Refuses) => {
                    Err(StoreError::Refused(anyhow::anyhow!("a rule of the schema")))
                }
            }
        }

        async fn load(&self, wanted: &Wanted) -> Answer<State> {
            self.loads.fetch_add(1, Ordering::SeqCst);
            self.real.load(wanted).await
        }
    }
    real {
        async fn locate(payments: &[PaymentReference], bookings: &[BookingId]) -> Answer<Located>;
        async fn draw_booking_id() -> Answer<BookingId>;
        async fn draw_booking_id_instead_of(taken: BookingId) -> Answer<BookingId>;
    }
}

role! {
    Catalogue {
        async fn flight(&self, id: FlightId) -> Answer<Option<Flight>> {
            self.read().await;
            self.real.flight(id).await
        }
    }
    real {
        async fn create_flight(
            flight: NewFlight, day: &DayKey, currency: Currency, now: Timestamp
        ) -> Answer<Flight>;
        async fn create_flight_once(
            request: &RequestKey, flight: NewFlight, day: &DayKey, currency: Currency, now: Timestamp
        ) -> Answer<Claim<Flight>>;
        async fn import_flights(
            flights: &[NewFlight], currency: Currency, now: Timestamp
        ) -> Answer<usize>;
        async fn fare_rules(name: &str, currency: Currency) -> Answer<Option<FareRules>>;
        async fn put_fare_rules(rules: &FareRules, now: Timestamp) -> Answer<bool>;
        async fn search(route: &str, from: Timestamp, until: Timestamp) -> Answer<Vec<Flight>>;
        async fn search_all(route: &str, from: Timestamp, until: Timestamp) -> Answer<Vec<Flight>>;
        async fn on_sale(from: Timestamp, until: Timestamp) -> Answer<Vec<Flight>>;
        async fn flights(
            filter: &FlightFilter, after: Option<FlightPlace>, limit: usize
        ) -> Answer<Vec<Flight>>;
        async fn departures(spans: &[RouteSpan]) -> Answer<Vec<Flight>>;
        async fn is_empty() -> Answer<bool>;
        async fn numbered(numbers: &[String]) -> Answer<Numbered>;
    }
}

role! {
    PaymentNotes {}
    real {
        async fn note_action(payment: PaymentReference, action: &NextAction) -> Answer<()>;
        async fn note_decline(payment: PaymentReference, reason: &str) -> Answer<()>;
    }
}

role! {
    Bookings {}
    real {
        async fn order(of: BookingId) -> Answer<Option<OrderRecord>>;
        async fn booking(id: BookingId) -> Answer<Option<Booking>>;
        async fn bookings_of_user(
            user: UserId, status: Option<BookingStatus>, before: Option<BookingId>, limit: usize
        ) -> Answer<Vec<Booking>>;
        async fn bookings_of_flight(
            flight: FlightId, status: Option<BookingStatus>, after: Option<BookingId>, limit: usize
        ) -> Answer<Vec<Booking>>;
        async fn payments_asked(
            payments: &[PaymentReference]
        ) -> Answer<HashMap<PaymentReference, PaymentAsked>>;
        async fn refunds_asked(refunds: &[RefundId]) -> Answer<HashMap<RefundId, RefundAsked>>;
        async fn adopted_bookings(
            after: BookingId, limit: usize
        ) -> Answer<(Vec<BookingId>, Option<BookingId>)>;
    }
}

role! {
    History {}
    real {
        async fn life(of: BookingId) -> Answer<Option<BookingLife>>;
        async fn disruption(flight: FlightId) -> Answer<Option<Disruption>>;
        async fn passenger_changes(bookings: &[BookingId]) -> Answer<Vec<HeldChange>>;
    }
}

role! {
    Messages {}
    real {
        async fn bookings_with_passengers(bookings: &[BookingId]) -> Answer<Vec<Booking>>;
        async fn add_messages(messages: &[NewMessage], now: Timestamp) -> Answer<usize>;
        async fn take_message(
            channel: Channel, done: Option<&MessageDone>, now: Timestamp, until: Timestamp
        ) -> Answer<Option<TakenMessage>>;
        async fn note_message(done: &MessageDone, now: Timestamp) -> Answer<()>;
        async fn ended_changes(of: BookingId) -> Answer<Vec<Timestamp>>;
        async fn drop_message(id: &str) -> Answer<()>;
        async fn count_messages() -> Answer<Vec<PendingMessages>>;
        async fn messages_held(bookings: &[BookingId]) -> Answer<Vec<HeldMessage>>;
    }
}

role! {
    Leases {}
    real {
        async fn lease(job: Job) -> Answer<Option<Box<dyn Lease>>>;
    }
}

role! {
    Maintenance {}
    real {
        async fn lapsed_holds(
            now: Timestamp, after: Option<&Position>, limit: usize
        ) -> Answer<Page<PaymentReference>>;
        async fn stranded_bookings(
            after: Option<(FlightId, BookingId)>, limit: usize
        ) -> Answer<Vec<(FlightId, BookingId)>>;
        async fn unanswered_payments(
            before: Timestamp, after: Option<&Position>, limit: usize
        ) -> Answer<Page<(Payment, Booking)>>;
        async fn redrive(requests: &[(Payment, OutboxEvent)], now: Timestamp) -> Answer<()>;
        async fn forget_keys(before: Timestamp, limit: usize) -> Answer<usize>;
        async fn backlog(lapsed: Timestamp, asked: Timestamp) -> Answer<Backlog>;
        async fn renew_statistics() -> Answer<()>;
    }
}

role! {
    Refunds {}
    real {
        async fn unanswered_refunds(
            before: Timestamp, after: Option<&Position>, limit: usize
        ) -> Answer<Page<RefundDue>>;
        async fn redrive_refunds(requests: &[(Refund, OutboxEvent)], now: Timestamp) -> Answer<()>;
    }
}

role! {
    Outbox {
        async fn outbox(
            &self,
            lane: Lane,
            sent: &[i64],
            messages: usize,
        ) -> Answer<Vec<OutboxEntry>> {
            let looked = self.real.outbox(lane, sent, messages).await;
            self.looks.fetch_add(1, Ordering::SeqCst);
            looked
        }
    }
    real {
        async fn invalidations(limit: usize) -> Answer<Vec<(i64, Invalidation)>>;
        async fn forget_invalidations(ids: &[i64], all: bool) -> Answer<()>;
    }
}

role! {
    Operations {
        async fn ping(&self) -> Answer<()> {
            self.pings.fetch_add(1, Ordering::SeqCst);
            self.read().await;
            self.real.ping().await
        }

        fn pools(&self) -> Vec<PoolUse> {
            self.real.pools()
        }

        fn unreadable(&self) -> BTreeMap<&'static str, usize> {
            self.real.unreadable()
        }
    }
    real {
        async fn is_served() -> Answer<bool>;
        async fn count_seats(asked: &SeatsAsked) -> Answer<Vec<SeatCount>>;
        async fn compare_payments(asked: &PaymentsCompared) -> Answer<Vec<(BookingId, bool)>>;
        async fn unserved_lines(before: Timestamp, limit: usize) -> Answer<Vec<FlightId>>;
        async fn audit(now: Timestamp) -> Answer<Vec<Finding>>;
    }
}

role! {
    WaitingLists {}
    real {
        async fn entry(id: WaitlistId) -> Answer<Option<EntryRecord>>;
        async fn lines_to_serve(due: LinesDue, after: Option<FlightId>, limit: usize) -> Answer<Vec<FlightId>>;
        async fn count_entries() -> Answer<EntryCounts>;
    }
}

role! {
    PersonalData {
        async fn erase_passengers(
            &self,
            bookings: &[BookingId],
            of: Option<UserId>,
            now: Timestamp,
        ) -> Answer<Vec<BookingId>> {
            let kept = *self.kept.lock().expect("no panic");
            if kept.is_some_and(|kept| bookings.contains(&kept)) {
                return Err(StoreError::Refused(anyhow::anyhow!("a rule of the schema")));
            }
            self.real.erase_passengers(bookings, of, now).await
        }
    }
    real {
        async fn bookings_held(
            user: UserId, after: BookingId, limit: usize
        ) -> Answer<Vec<HeldBooking>>;
        async fn keys_held(
            user: UserId, after: Option<&HeldKey>, limit: usize
        ) -> Answer<Vec<HeldKey>>;
        async fn erasures_of(user: UserId, limit: usize) -> Answer<Vec<Erasure>>;
        async fn entries_held(user: UserId, after: WaitlistId, limit: usize) -> Answer<Vec<Entry>>;
        async fn erase_entries(user: UserId, now: Timestamp) -> Answer<usize>;
        async fn erase_keys(user: UserId, now: Timestamp, limit: usize) -> Answer<usize>;
        async fn end_erasure(user: UserId, kept: usize, now: Timestamp) -> Answer<()>;
        async fn departed_bookings(
            until: Timestamp, after: Option<Departed>, limit: usize
        ) -> Answer<DepartedPage>;
        async fn scrub(how: Scrub) -> Answer<Scrubbed>;
    }
}

role! {
    Sales {}
    real {
        async fn count_sales(moved: &[(SeatsMoved, NaiveDate)]) -> Answer<()>;
        async fn sales(flight: FlightId) -> Answer<Option<Vec<DaySales>>>;
    }
}

role! {
    Webhooks {}
    real {
        async fn change_webhooks(
            change: &WebhookChange, request: Option<&RequestKey>, now: Timestamp
        ) -> Answer<Claim<Option<i64>>>;
        async fn delete_webhook(id: WebhookId) -> Answer<bool>;
        async fn webhook(id: WebhookId) -> Answer<Option<Webhook>>;
        async fn webhooks_of(
            owner: Option<UserId>, after: Option<WebhookId>, limit: usize
        ) -> Answer<Vec<Webhook>>;
        async fn delivery(webhook: WebhookId, id: DeliveryId) -> Answer<Option<Delivery>>;
        async fn deliveries(
            webhook: WebhookId, before: Option<DeliveryId>, limit: usize
        ) -> Answer<Vec<Delivery>>;
    }
}

role! {
    Deliveries {}
    real {
        async fn active_webhooks() -> Answer<Vec<Webhook>>;
        async fn webhooks_named(ids: &[WebhookId]) -> Answer<Vec<Webhook>>;
        async fn add_deliveries(new: &[NewDelivery], now: Timestamp) -> Answer<()>;
        async fn due_deliveries(
            now: Timestamp, busy: &[WebhookId], of_each: usize
        ) -> Answer<Vec<Delivery>>;
        async fn note_attempts(
            attempts: &[Attempt], now: Timestamp, disable_before: Timestamp
        ) -> Answer<Vec<WebhookId>>;
        async fn hasten_deliveries(webhook: WebhookId, now: Timestamp) -> Answer<()>;
        async fn fail_deliveries(limit: usize) -> Answer<usize>;
        async fn forget_deliveries(before: Timestamp, limit: usize) -> Answer<usize>;
        async fn count_webhooks() -> Answer<WebhookCounts>;
        async fn event_rows(flights: &[FlightId], bookings: &[BookingId]) -> Answer<EventRows>;
    }
}
