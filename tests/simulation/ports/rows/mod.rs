//! The tables of the simulated database, and what each statement of a store does to them at one instant.

mod commit;
pub mod lines;
pub mod orders;
mod passengers;

use airline_booking::domain::{
    Booking, BookingId, BookingIds, BookingStatus, Currency, DayKey, Entry, FareRules, Flight,
    FlightId, Invalidation, NewFlight, Payment, PaymentReference, PaymentStatus, Refund, RefundId,
    SeatCount, Timestamp, UserId, WaitlistId, route_key,
};
use airline_booking::messages::{Message, Topic};
use airline_booking::rules::{
    Changes, Claim, Holder, IdempotencyRecord, OutboxEvent, RequestKey, RequestName, RequestRecord,
    State, Wanted,
};
use airline_booking::store::{Job, Lane, OutboxEntry, StoreError, flight_created};
use chrono::TimeDelta;
pub use passengers::Corrected;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// The tables. Cloning them is a snapshot.
#[derive(Clone, Default)]
pub struct Rows {
    pub flights: BTreeMap<FlightId, Flight>,
    pub bookings: BTreeMap<BookingId, Booking>,
    pub payments: BTreeMap<PaymentReference, Payment>,
    pub paid_by: BTreeMap<PaymentReference, BookingIds>,
    pub refunds: BTreeMap<RefundId, Refund>,
    /// Corrections of passengers, in the order of the commits.
    pub corrected: Vec<Corrected>,
    /// When flights were cancelled.
    pub cancelled_at: BTreeMap<FlightId, Timestamp>,
    /// Versions of fare rules, and since when.
    pub fares: Vec<(Timestamp, FareRules)>,
    pub entries: BTreeMap<WaitlistId, Entry>,
    /// What each command wrote that changed a flight, in the order of the commits.
    pub history: Vec<Changes>,
    pub keys: BTreeMap<(UserId, Arc<str>), IdempotencyRecord>,
    pub requests: BTreeMap<RequestName, RequestRecord>,
    pub outbox: BTreeMap<i64, OutboxEntry>,
    pub invalidations: BTreeMap<i64, Invalidation>,
    /// The session that holds each job.
    pub leases: BTreeMap<&'static str, u64>,
    /// Rows of these flights are locked by another session until then.
    pub locked: BTreeMap<FlightId, Instant>,
    pub last_flight: i64,
    pub last_booking: i64,
    last_outbox: i64,
    /// Every message that a commit ever wrote to the outbox, in the order of the commits.
    pub log: Vec<(Topic, Message)>,
    pub last_session: u64,
    /// Slow statements that have left a replica and have no effect yet. Those of dead replicas arrive too.
    pub slow_statements: usize,
    /// Number of commits so far.
    commits: u64,
    /// Free seats of each flight after each command, and since when.
    free: BTreeMap<FlightId, Vec<(Instant, SeatCount)>>,
    /// Promises that a statement broke.
    pub complaints: Vec<String>,
    /// Bookings before their last change, for a bug that shows them.
    pub earlier: BTreeMap<BookingId, Booking>,
}

impl Rows {
    fn publish(&mut self, events: &[OutboxEvent]) {
        for entry in OutboxEntry::of(events).into_iter().flatten() {
            self.last_outbox += 1;
            self.log.extend(entry.messages.iter().cloned());
            if planted!(outbox_lacks_a_row) && self.last_outbox % 16 == 0 {
                continue;
            }
            self.outbox.insert(self.last_outbox, OutboxEntry { id: self.last_outbox, ..entry });
        }
    }

    pub fn add_invalidation(&mut self, invalidation: Invalidation) {
        self.last_outbox += 1;
        self.invalidations.insert(self.last_outbox, invalidation);
    }

    /// Loads what a batch wants; bookings without passengers.
    pub fn load(&self, wanted: &Wanted) -> State {
        let mut state = State::default();
        let flights = wanted.flights.iter().filter_map(|id| self.flights.get(id));
        state.flights.extend(flights.map(|flight| (flight.id, flight.clone())));
        let keys = wanted.idempotency.iter().filter_map(|name| self.keys.get(name));
        let keys = keys.filter(|_| !planted!(keys_lapse_at_once));
        state.idempotency.extend(keys.map(|record| (record.name(), record.clone())));
        let requests = wanted.requests.iter().filter_map(|name| self.requests.get(name));
        state.requests.extend(requests.map(|record| (record.request.name(), record.clone())));
        let by_key = state.idempotency.values().map(|record| record.booking_id);
        let by_request = state.requests.values().map(|record| BookingId(record.made));
        let named = wanted.bookings.iter().copied().chain(by_key).chain(by_request);
        let orders = named.filter_map(|id| Some(self.bookings.get(&id)?.payment_reference));
        let mut orders: BTreeSet<_> =
            orders.chain(wanted.payments.iter().map(|p| self.first(p))).collect();
        orders.extend(self.load_entries(wanted, &mut state));
        let orders = self.with_changes(orders);
        for booking in orders.iter().flat_map(|payment| self.order(payment)) {
            state.add_booking(booking.without_passengers());
        }
        let has_changes = state.bookings.values().any(|booking| booking.has_changes);
        let is_of_change = |refund: &Refund| {
            let order = self.payments.get(&refund.payment).map(|payment| payment.order);
            has_changes && order.is_some_and(|order| orders.contains(&order))
        };
        let is_wanted = |refund: &&Refund| {
            let is_named = wanted.refunds.contains(&refund.id);
            is_named || wanted.refunds_of.contains(&refund.payment) || is_of_change(refund)
        };
        let refunds = self.refunds.values().filter(is_wanted);
        state.refunds.extend(refunds.map(|refund| (refund.id, refund.clone())));
        for first in &orders {
            self.attempts(first).into_iter().for_each(|payment| state.add_payment(payment));
        }
        if wanted.fares && !planted!(sold_rules_are_not_kept) {
            for (since, rules) in &self.fares {
                state.fares.add(*since, rules.clone());
            }
        }
        for (holder, at) in &wanted.pending {
            let seats = self.pending_seats(*holder, *at);
            state.pending.insert(*holder, i32::try_from(seats).unwrap_or(i32::MAX));
        }
        state
    }

    /// Orders, and those that changes of flight add: of bookings that theirs replace, and that replace theirs.
    fn with_changes(&self, mut orders: BTreeSet<PaymentReference>) -> BTreeSet<PaymentReference> {
        let replaced =
            |booking: &Booking| Some(self.bookings.get(&booking.replaces?)?.payment_reference);
        let of: Vec<_> = orders.iter().flat_map(|payment| self.order(payment)).collect();
        orders.extend(of.into_iter().filter_map(replaced));
        let replacing = self.bookings.values().filter(|booking| booking.replaces.is_some());
        let replacing =
            replacing.filter(|it| replaced(it).is_some_and(|order| orders.contains(&order)));
        let added: Vec<_> = replacing.map(|booking| booking.payment_reference).collect();
        orders.extend(added);
        orders
    }

    /// The last stored version of fare rules.
    pub fn fare_rules(&self, name: &str) -> Option<FareRules> {
        let versions = self.fares.iter().map(|(_, rules)| rules);
        versions.filter(|rules| &*rules.name == name).max_by_key(|rules| rules.version).cloned()
    }

    /// Adds a version of fare rules, if it is the next.
    pub fn put_fare_rules(&mut self, rules: FareRules, now: Timestamp) -> bool {
        let shipped = i64::from(FareRules::is_shipped(&rules.name));
        let last = self.fare_rules(&rules.name).map_or(shipped, |last| last.version);
        let is_next = rules.version == last + 1;
        if is_next {
            let versions = self.fares.iter().filter(|(_, its)| its.name == rules.name);
            let last = versions.map(|(since, _)| *since + TimeDelta::microseconds(1)).max();
            self.fares.push((last.map_or(now, |last| last.max(now)), rules));
        }
        is_next
    }

    /// The first payment of a payment's order.
    fn first(&self, payment: &PaymentReference) -> PaymentReference {
        self.payments.get(payment).map_or(*payment, |payment| payment.order)
    }

    /// The bookings of a payment's order.
    pub fn order(&self, payment: &PaymentReference) -> Vec<&Booking> {
        let ids = self.paid_by.get(&self.first(payment)).into_iter().flatten();
        ids.filter_map(|id| self.bookings.get(id)).collect()
    }

    fn pending_seats(&self, holder: Holder, at: Timestamp) -> i64 {
        if planted!(pending_seats_are_not_counted) { 0 } else { self.count_pending(holder, at) }
    }

    fn count_pending(&self, (flight, user): Holder, at: Timestamp) -> i64 {
        let pending = self.bookings.values().filter(|b| {
            b.flight_id == flight
                && b.user_id == user
                && b.status == BookingStatus::Pending
                && b.hold_expires_at > at
        });
        pending.map(|booking| i64::from(booking.seats_booked)).sum()
    }

    pub fn create_flight(
        &mut self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Flight {
        self.last_flight += 1;
        let flight = flight.into_flight(FlightId(self.last_flight), currency, now);
        self.flights.insert(flight.id, flight.clone());
        self.note_free_seats_of(flight.id);
        self.publish(&[flight_created(&flight, now)]);
        let days = day.with_timetable().map(|day| (day.route, day.date));
        self.add_invalidation(Invalidation::Days(days.into()));
        flight
    }

    pub fn create_flight_once(
        &mut self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Claim<Flight> {
        if let Some(claim) = request.meets(self.requests.get(&request.name()), now).unless_new() {
            return claim;
        }
        let created = self.create_flight(flight, day, currency, now);
        let record =
            RequestRecord { request: request.clone(), made: created.id.0, created_at: now };
        self.requests.insert(request.name(), record);
        Claim::New(created)
    }

    pub fn import(&mut self, flights: &[NewFlight], currency: Currency, now: Timestamp) -> usize {
        let key = |number: Option<&str>| number.map(|n| n.replace([' ', '-'], "").to_uppercase());
        let mut created = 0;
        for flight in flights {
            let route = route_key(&flight.source, &flight.destination);
            let is_stored = self.flights.values().any(|stored| {
                route_key(&stored.source, &stored.destination) == route
                    && stored.departs_at == flight.departs_at
                    && key(stored.flight_number.as_deref()) == key(flight.flight_number.as_deref())
            });
            if !is_stored {
                self.last_flight += 1;
                let flight = flight.clone().into_flight(FlightId(self.last_flight), currency, now);
                self.flights.insert(flight.id, flight);
                created += 1;
            }
        }
        if created > 0 {
            self.add_invalidation(Invalidation::All);
        }
        created
    }

    /// Deletes sent rows and returns the next ones of a lane, as many as hold `messages` or just more.
    pub fn drain(&mut self, lane: Lane, sent: &[i64], messages: usize) -> Vec<OutboxEntry> {
        let last = sent.iter().max().copied().unwrap_or_default();
        let in_range = |id| planted!(outbox_deleted_by_range) && id <= last;
        self.outbox.retain(|id, _| !sent.contains(id) && !in_range(*id));
        let mut before = 0;
        let mut next = Vec::new();
        for entry in self.outbox.values().filter(|entry| entry.lane == lane) {
            if before >= messages {
                break;
            }
            before += entry.messages.len();
            next.push(entry.clone());
        }
        next
    }

    /// Writes the requests of payments that are as they were read once more.
    pub fn redrive(&mut self, requests: &[(Payment, OutboxEvent)], now: Timestamp) {
        let mut due = Vec::new();
        for (read, event) in requests {
            let Some(row) = self.payments.get_mut(&read.reference) else { continue };
            if (row.status, row.updated_at) == (read.status, read.updated_at) {
                row.updated_at = now;
                due.push(event.clone());
            }
        }
        if !planted!(redrive_writes_no_request) {
            self.publish(&due);
        }
    }

    /// Writes the requests of refunds that are as they were read once more.
    pub fn redrive_refunds(&mut self, requests: &[(Refund, OutboxEvent)], now: Timestamp) {
        let mut due = Vec::new();
        for (read, event) in requests {
            let Some(row) = self.refunds.get_mut(&read.id) else { continue };
            if (row.status, row.updated_at) == (read.status, read.updated_at) {
                (row.updated_at, row.attempts) = (now, row.attempts + 1);
                due.push(event.clone());
            }
        }
        if !planted!(redrive_writes_no_request) {
            self.publish(&due);
        }
    }

    /// Payments that wait for the gateway and last changed before then, each with its booking.
    pub fn unanswered(&self, before: Timestamp) -> Vec<(&Payment, &Booking)> {
        let waits = |p: &&Payment| waits_for_the_gateway(p) && p.updated_at < before;
        let open = self.payments.values().filter(waits);
        let first = |p: &Payment| self.order(&p.reference).into_iter().find(|b| b.segment == 1);
        open.filter_map(|p| Some((p, first(p)?))).collect()
    }

    /// Gives a job to a session, unless another has it.
    pub fn lease(&mut self, job: Job) -> Option<u64> {
        if self.leases.contains_key(job.as_str()) {
            return None;
        }
        self.last_session += 1;
        self.leases.insert(job.as_str(), self.last_session);
        Some(self.last_session)
    }
}

/// Whether the gateway is asked for the payment, and has not answered.
pub fn waits_for_the_gateway(payment: &Payment) -> bool {
    matches!(payment.status, PaymentStatus::Requested | PaymentStatus::ReversalRequested)
        && !payment.is_unasked()
}

/// The statement failed.
pub fn refused(why: String) -> StoreError {
    StoreError::Refused(anyhow::anyhow!(why))
}
