//! The store port's promises, on each adapter.

use crate::support::TestDatabase;
use crate::support::deployment::Opened;
use airline_booking::clock::{Clock, SystemClock};
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, DayKey, Flight, FlightId, FlightPatch, FlightStatus,
    Invalidation, NewFlight, Passenger, Payment, PaymentAction, PaymentMethod, PaymentOutcome,
    PaymentReference, PaymentStatus, ScheduleZone, Timestamp, UserId, route_key,
};
use airline_booking::messages::{Message, Topic};
use airline_booking::rules::{
    Cancel, CancelledBy, ChangeSet, Changes, ChangesId, Claim, Command, Damage, Decision, Hold,
    IdempotencyKey, OutboxEvent, Policy, PutFlight, RequestKey, RequestRecord, RowName, Settle,
    State, Wanted, decide, request,
};
use airline_booking::store::{
    Backlog, Job, Lane, Numbered, OTHERS_MAX, OutboxEntry, Store, StoreError,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Runs a body on each store, in a test for each.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Fixture::of(super::TestDatabase::sqlite()).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Fixture::of(super::TestDatabase::postgres().await).await).await;
            })*
        }
    };
}

on_each_store! {
    committed_rows_are_loaded
    a_stale_flight_stops_its_commands_and_no_others
    a_commit_is_written_completely_or_not_at_all
    a_taken_booking_number_is_stale
    a_used_key_is_stale_and_an_expired_one_is_replaced
    a_flights_idempotency_key_is_kept_for_a_day_and_deleted_in_steps
    a_commit_counts_the_seats_that_a_user_holds_unpaid
    a_request_whose_key_another_commit_took_writes_nothing
    a_commit_that_breaks_a_rule_writes_nothing
    the_outbox_keeps_the_order_of_events
    only_the_named_rows_leave_the_outbox
    a_search_returns_the_flights_on_sale_of_its_day
    a_repeated_import_creates_nothing
    flights_are_found_by_their_numbers
    booking_numbers_are_drawn_once
    overdue_payments_are_found_and_retried_once
    sent_rows_leave_the_outbox_while_others_wait
    pages_skip_unreadable_rows_and_reach_all_others
    lists_and_searches_leave_out_unreadable_rows
    loading_a_batch_names_its_unreadable_rows
    an_unreadable_outbox_row_delays_no_other
    old_keys_are_deleted_in_steps
    waiting_outbox_rows_are_counted
    bookings_of_a_cancelled_flight_are_found_until_they_have_ended
    a_payment_keeps_the_trace_in_which_it_began
    concurrent_commits_of_one_flight_count_every_seat
    a_schema_of_a_later_release_is_served
}

/// No stale commands.
const NOTHING: BTreeSet<ChangesId> = BTreeSet::new();

fn ids<const N: usize>(indexes: [usize; N]) -> BTreeSet<ChangesId> {
    indexes.map(ChangesId).into()
}

struct Fixture {
    store: Arc<dyn Store>,
    now: Timestamp,
    database: TestDatabase,
}

impl Fixture {
    async fn of(database: TestDatabase) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Opened { store, .. } = database.open(Duration::ZERO, clock.clone()).await;
        Self { store, now: clock.now(), database }
    }

    async fn flight(&self, seats: i32) -> Flight {
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: self.now.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let flight = new_flight(seats, self.now);
        self.store.create_flight(flight, &day, currency, self.now).await.expect("a flight")
    }

    /// A hold that the store does not have yet.
    async fn hold(&self, flight: FlightId, seats: i32) -> Hold {
        Hold {
            booking_id: self.store.draw_booking_id().await.expect("a number"),
            reference: PaymentReference::draw(self.now),
            flight_id: flight,
            user_id: UserId(7),
            seats,
            passengers: passengers(seats),
            method: PaymentMethod::default(),
            idempotency: None,
            pending_max: None,
        }
    }

    /// Decides commands one after the other on what the store has.
    async fn decide(&self, commands: &[Command]) -> ChangeSet {
        let mut wanted = Wanted::default();
        for command in commands {
            match command {
                Command::Hold(hold) => {
                    wanted.flights.insert(hold.flight_id);
                }
                Command::Settle(settle) => {
                    let located = self.store.locate(&[settle.reference], &[]).await;
                    wanted.flights.extend(located.expect("located").payments.values());
                    wanted.payments.insert(settle.reference);
                }
                Command::Cancel(cancel) => {
                    let located = self.store.locate(&[], &[cancel.booking_id]).await;
                    wanted.flights.extend(located.expect("located").bookings.values());
                    wanted.bookings.insert(cancel.booking_id);
                }
                Command::PutFlight(put) => {
                    wanted.flights.insert(put.flight_id);
                }
                Command::Expire(_) | Command::Release(_) => unreachable!("not used here"),
            }
        }
        let mut state = self.store.load(&wanted).await.expect("a state");
        let mut changes = ChangeSet::default();
        for command in commands {
            let Decision { changes: made, .. } = decide(&state, command, self.now, &policy());
            state.apply(&made);
            changes.commands.push(made);
        }
        changes
    }

    async fn commit(&self, changes: &ChangeSet) -> BTreeSet<ChangesId> {
        self.store.commit(changes).await.expect("a commit").stale
    }

    async fn load(&self, flight: FlightId) -> Flight {
        self.store.flight(flight).await.expect("an answer").expect("the flight")
    }

    /// All pages of lapsed holds.
    async fn lapsed_holds(&self, now: Timestamp, limit: usize) -> Vec<PaymentReference> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.lapsed_holds(now, after.as_ref(), limit).await.expect("holds");
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    /// All pages of unanswered payments.
    async fn unanswered_payments(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Vec<(Payment, Booking)> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.unanswered_payments(before, after.as_ref(), limit).await;
            let page = page.expect("payments");
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    async fn violations(&self) -> i64 {
        let findings = self.store.audit(self.now).await.expect("an audit");
        findings.iter().map(|finding| finding.violations).sum()
    }
}

fn policy() -> Policy {
    Policy { hold_for: chrono::TimeDelta::minutes(5), closes_before: None }
}

fn new_flight(seats: i32, departs_at: Timestamp) -> NewFlight {
    NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at,
        arrives_at: None,
        available_seats: seats,
        total_seats: seats,
        flight_status: FlightStatus::Scheduled,
        price: "2500.00".parse().expect("a price"),
        taxes: airline_booking::domain::Money::default(),
    }
}

fn passengers(seats: i32) -> Arc<[Passenger]> {
    let passenger = serde_json::json!({
        "name": "Asha", "email": "a@b.example", "phone": "1", "age": 30, "gender": "female"
    });
    let passenger: Passenger = serde_json::from_value(passenger).expect("a passenger");
    vec![passenger; seats as usize].into()
}

fn captured(hold: &Hold, amount: &str) -> Command {
    Command::Settle(Settle {
        reference: hold.reference,
        booking_id: hold.booking_id,
        amount: amount.parse().expect("an amount"),
        outcome: PaymentOutcome::Completed,
    })
}

async fn committed_rows_are_loaded(on: Fixture) {
    let flight = on.flight(10).await;
    let hold = on.hold(flight.id, 2).await;
    let changes = on.decide(&[Command::Hold(hold.clone())]).await;
    assert_eq!(on.commit(&changes).await, NOTHING);

    let held = on.load(flight.id).await;
    assert_eq!((held.available_seats, held.held_seats, held.version), (10, 2, 2));
    let booking = on.store.booking(hold.booking_id).await.expect("an answer").expect("a booking");
    let decided = &changes.commands[0].bookings[0].after;
    assert_eq!(&booking, decided, "each column, to the microsecond and the paisa");
    let listed = on.store.bookings_of_user(UserId(7), None, None, 9).await.expect("a list");
    assert_eq!(listed, [booking]);

    let settle = on.decide(&[captured(&hold, "5000.00")]).await;
    assert_eq!(on.commit(&settle).await, NOTHING);
    let sold = on.load(flight.id).await;
    assert_eq!((sold.available_seats, sold.held_seats), (8, 0));
    let asked = on.store.payments_asked(&[hold.reference]).await.expect("payments");
    let payment = asked.get(&hold.reference).expect("the payment");
    assert_eq!(payment.status, PaymentStatus::Captured);
    assert_eq!(payment.method, hold.method);
    assert_eq!(payment.amount, decided.booking_price);
    assert_eq!(payment.hold_expires_at, decided.hold_expires_at);
}

async fn a_stale_flight_stops_its_commands_and_no_others(on: Fixture) {
    let (one, other) = (on.flight(10).await.id, on.flight(10).await.id);
    let holds = [on.hold(one, 1).await, on.hold(other, 1).await, on.hold(one, 2).await];
    let changes = on.decide(&holds.clone().map(Command::Hold)).await;
    // Another replica was faster on the first flight.
    let faster = on.decide(&[Command::Hold(on.hold(one, 3).await)]).await;
    assert_eq!(on.commit(&faster).await, NOTHING);

    assert_eq!(on.commit(&changes).await, ids([0, 2]));
    assert_eq!(on.load(one).await.held_seats, 3);
    assert_eq!(on.load(other).await.held_seats, 1);
    for (hold, written) in holds.iter().zip([false, true, false]) {
        let booking = on.store.booking(hold.booking_id).await.expect("an answer");
        assert_eq!(booking.is_some(), written);
    }
}

async fn a_commit_is_written_completely_or_not_at_all(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    // Both settle the same payment, each on the pending booking.
    let first = on.decide(&[captured(&hold, "2500.00")]).await;
    let mut second = first.clone();
    // As if only the booking had moved: the flight's version is brought up to date.
    assert_eq!(on.commit(&first).await, NOTHING);
    let now = on.load(flight).await;
    let change = &mut second.commands[0].flights[0];
    change.was = now.clone();
    change.after.version = now.version + 1;
    assert_eq!(on.commit(&second).await, ids([0]));
    assert_eq!(on.load(flight).await, now);
    // No gateway was called, and the audit finds nothing else.
    assert_eq!(on.violations().await, 1);
}

async fn a_taken_booking_number_is_stale(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    let again = Hold { reference: PaymentReference::draw(on.now), ..hold };
    let beside = on.hold(on.flight(10).await.id, 1).await;
    let changes = on.decide(&[Command::Hold(again), Command::Hold(beside.clone())]).await;
    let committed = on.store.commit(&changes).await.expect("a commit");
    assert_eq!((committed.stale, committed.taken), (ids([0]), ids([0])));
    assert_eq!(committed.limited, NOTHING);
    assert_eq!(on.load(flight).await.held_seats, 1);
    assert!(on.store.booking(beside.booking_id).await.expect("an answer").is_some());
    for _ in 0..2 {
        let other = on.store.draw_booking_id_instead_of(BookingId(1)).await.expect("a number");
        assert!(other > beside.booking_id, "{other:?} is above all that are stored");
    }
}

async fn a_used_key_is_stale_and_an_expired_one_is_replaced(mut on: Fixture) {
    let flight = on.flight(10).await.id;
    let key = airline_booking::rules::IdempotencyKey {
        key: "once".into(),
        request_hash: "a".repeat(64).into(),
    };
    let keyed = |hold: Hold| Command::Hold(Hold { idempotency: Some(key.clone()), ..hold });
    let first = on.decide(&[keyed(on.hold(flight, 1).await)]).await;
    // Decided before the first was committed, and brought up to date but for the key.
    let mut raced = on.decide(&[keyed(on.hold(flight, 1).await)]).await;
    assert_eq!(on.commit(&first).await, NOTHING);
    let now = on.load(flight).await;
    let change = &mut raced.commands[0].flights[0];
    change.after.version = now.version + 1;
    change.was = now;
    assert_eq!(on.commit(&raced).await, ids([0]));

    on.now += chrono::TimeDelta::hours(25);
    let later = on.decide(&[keyed(on.hold(flight, 1).await)]).await;
    assert_eq!(on.commit(&later).await, NOTHING);
    let wanted = Wanted {
        idempotency: BTreeSet::from([(UserId(7), Arc::from("once"))]),
        ..Wanted::default()
    };
    let State { idempotency, .. } = on.store.load(&wanted).await.expect("a state");
    let made = later.commands[0].bookings[0].after.id;
    assert_eq!(idempotency.values().map(|r| r.booking_id).collect::<Vec<_>>(), [made]);
    on.store.forget_keys(on.now + chrono::TimeDelta::hours(1), 9).await.expect("forgotten");
    assert!(on.store.load(&wanted).await.expect("a state").idempotency.is_empty());
}

async fn a_commit_counts_the_seats_that_a_user_holds_unpaid(mut on: Fixture) {
    let flight = on.flight(50).await.id;
    let other = on.flight(50).await.id;
    let limited = |hold: Hold| Command::Hold(Hold { pending_max: Some(4), ..hold });
    let counted = async |on: &Fixture| {
        let holder = (flight, UserId(7));
        let wanted = Wanted { pending: [(holder, on.now)].into(), ..Wanted::default() };
        on.store.load(&wanted).await.expect("a state").pending[&holder]
    };
    assert_eq!(counted(&on).await, 0);
    let first = limited(on.hold(flight, 3).await);
    let changes = on.decide(std::slice::from_ref(&first)).await;
    assert_eq!(on.commit(&changes).await, NOTHING);
    assert_eq!(counted(&on).await, 3);

    // Each is decided as if its user held nothing; the commit knows better, and writes the others.
    let beyond = limited(on.hold(flight, 2).await);
    let elsewhere = limited(on.hold(other, 4).await);
    let changes = on.decide(&[beyond.clone(), elsewhere]).await;
    let committed = on.store.commit(&changes).await.expect("a commit");
    assert_eq!((committed.stale, committed.limited), (ids([0]), ids([0])));
    // Where its flight is stale as well, the limit is not what stops it.
    let changes = on.decide(&[beyond]).await;
    let first_elsewhere = Hold { user_id: UserId(9), ..on.hold(flight, 1).await };
    on.commit(&on.decide(&[Command::Hold(first_elsewhere)]).await).await;
    let committed = on.store.commit(&changes).await.expect("a commit");
    assert_eq!((committed.stale, committed.limited), (ids([0]), NOTHING));
    assert_eq!((on.load(flight).await.held_seats, on.load(other).await.held_seats), (4, 4));
    for (seats, expected) in [(2, ids([0])), (1, NOTHING)] {
        let changes = on.decide(&[limited(on.hold(flight, seats).await)]).await;
        assert_eq!(on.commit(&changes).await, expected, "{seats} more");
    }
    // Another user, and a user without a limit.
    let stranger = limited(Hold { user_id: UserId(8), ..on.hold(flight, 4).await });
    let staff = Command::Hold(on.hold(flight, 9).await);
    let changes = on.decide(&[stranger, staff]).await;
    assert_eq!(on.commit(&changes).await, NOTHING);
    assert_eq!(counted(&on).await, 13);

    // What ends in the same commit makes room; what has lapsed does not count.
    let Command::Hold(first) = first else { unreachable!("a hold") };
    on.commit(&on.decide(&[captured(&first, "7500.00")]).await).await;
    assert_eq!(counted(&on).await, 10);
    on.now += chrono::TimeDelta::minutes(6);
    assert_eq!(counted(&on).await, 0);
    let mine = on.hold(flight, 3).await;
    on.commit(&on.decide(&[limited(mine.clone())]).await).await;
    let next = limited(on.hold(flight, 4).await);
    let changes = on.decide(&[captured(&mine, "7500.00"), next]).await;
    assert_eq!(on.commit(&changes).await, NOTHING);
    assert_eq!(counted(&on).await, 4);
}

/// A request of user 7 to another route than that of bookings.
fn request_of(key: &str, hash: &str) -> RequestKey {
    RequestKey {
        route: "/api/v1/flights",
        owner: UserId(7),
        key: IdempotencyKey { key: key.into(), request_hash: hash.repeat(64).into() },
    }
}

async fn a_flights_idempotency_key_is_kept_for_a_day_and_deleted_in_steps(on: Fixture) {
    let create = async |key: &str, hash: &str, now| {
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: on.now.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let (flight, request) = (new_flight(9, on.now), request_of(key, hash));
        let claim = on.store.create_flight_once(&request, flight, &day, currency, now).await;
        match claim.expect("a claim") {
            Claim::New(flight) => Claim::New(flight.id.0),
            Claim::Made(id) => Claim::Made(id),
            Claim::Reused => Claim::Reused,
        }
    };
    let Claim::New(first) = create("first", "a", on.now).await else { unreachable!() };
    assert_eq!(create("first", "a", on.now).await, Claim::Made(first));
    assert_eq!(create("first", "b", on.now).await, Claim::Reused);
    let a_day_later = on.now + chrono::TimeDelta::days(1);
    let within = a_day_later - chrono::TimeDelta::microseconds(1);
    assert_eq!(create("first", "a", within).await, Claim::Made(first));
    let Claim::New(second) = create("first", "b", a_day_later).await else { unreachable!() };
    assert_eq!(create("first", "b", a_day_later).await, Claim::Made(second));

    for number in 0..21 {
        create(&format!("old-{number}"), "a", on.now).await;
    }
    assert_eq!(on.store.forget_keys(a_day_later, 9).await.expect("forgotten"), 9);
    assert_eq!(on.store.forget_keys(a_day_later, 9_999).await.expect("forgotten"), 12);
    assert_eq!(on.store.forget_keys(a_day_later, 9_999).await.expect("forgotten"), 0);
    assert_eq!(create("first", "b", a_day_later).await, Claim::Made(second));
    for number in [0, 20] {
        let again = create(&format!("old-{number}"), "a", on.now).await;
        assert!(matches!(again, Claim::New(_)), "{again:?}");
    }
}

async fn a_request_whose_key_another_commit_took_writes_nothing(mut on: Fixture) {
    let flight = on.flight(10).await.id;
    let mut bookings = Vec::new();
    for _ in 0..3 {
        let hold = on.hold(flight, 1).await;
        bookings.push(hold.booking_id);
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let cancel = |booking_id, request| {
        Command::Cancel(Cancel { booking_id, by: CancelledBy::Traveller, request })
    };
    let keyed = |booking, key| cancel(booking, Some(request_of(key, "a")));
    let first = on.decide(&[keyed(bookings[0], "once")]).await;
    // Decided before the first was committed, and brought up to date but for the key.
    let mut raced = on.decide(&[keyed(bookings[1], "once")]).await;
    assert_eq!(on.commit(&first).await, NOTHING);
    let now = on.load(flight).await;
    let change = &mut raced.commands[0].flights[0];
    change.after.version = now.version + 1;
    change.was = now;
    assert_eq!(on.commit(&raced).await, ids([0]));
    let left = on.store.booking(bookings[1]).await.expect("an answer").expect("a booking");
    assert_eq!(left.status, BookingStatus::Pending);

    let request = request_of("once", "a");
    let wanted = Wanted { requests: BTreeSet::from([request.name()]), ..Wanted::default() };
    let made = async || {
        let state = on.store.load(&wanted).await.expect("a state");
        state.requests.values().map(|record| record.made).collect::<Vec<_>>()
    };
    assert_eq!(made().await, [bookings[0].0]);
    // A command that changes nothing else keeps its key as well, and a lapsed one is replaced.
    let record = RequestRecord {
        request: request.clone(),
        made: 5,
        created_at: on.now + chrono::TimeDelta::days(1),
    };
    let alone = Changes { request: Some(record), ..Changes::default() };
    let alone = ChangeSet { commands: vec![alone], ..ChangeSet::default() };
    assert_eq!(on.commit(&alone).await, NOTHING);
    assert_eq!(made().await, [5]);
    assert_eq!(on.violations().await, 0);
    on.now += chrono::TimeDelta::days(3);
    on.store.forget_keys(on.now, 9).await.expect("forgotten");
    assert_eq!(made().await, [0; 0]);
}

async fn a_commit_that_breaks_a_rule_writes_nothing(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    let mut changes = on.decide(&[Command::Hold(hold.clone())]).await;
    changes.commands[0].flights[0].after.held_seats = 11;
    let refused = on.store.commit(&changes).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(on.load(flight).await.held_seats, 0);
    assert_eq!(on.store.booking(hold.booking_id).await.expect("an answer"), None);
    assert_eq!(on.violations().await, 0);
}

impl Fixture {
    /// All that waits in a lane.
    async fn outbox(&self, lane: Lane) -> Vec<OutboxEntry> {
        self.store.outbox(lane, &[], 10_000).await.expect("the outbox")
    }
}

fn messages(entries: Vec<OutboxEntry>) -> Vec<(Topic, Message)> {
    entries.into_iter().flat_map(|entry| entry.messages).collect()
}

async fn the_outbox_keeps_the_order_of_events(on: Fixture) {
    let flight = on.flight(1_000).await.id;
    // Of each commit one row, and a look takes whole rows.
    for holds in [300, 1] {
        let mut commands = Vec::new();
        for _ in 0..holds {
            commands.push(Command::Hold(on.hold(flight, 1).await));
        }
        on.commit(&on.decide(&commands).await).await;
    }
    let entries = on.outbox(Lane::Requests).await;
    assert_eq!(entries.len(), 2);
    assert!(entries.is_sorted_by_key(|entry| entry.id));
    let requested = |(topic, message): (Topic, Message)| {
        (topic == Topic::PaymentRequests).then(|| message.key.parse().expect("a number"))
    };
    let keys: Vec<i64> = messages(entries.clone()).into_iter().filter_map(requested).collect();
    assert_eq!(keys.len(), 301);
    assert!(keys.is_sorted());
    let look = async |messages| on.store.outbox(Lane::Requests, &[], messages).await;
    assert_eq!(look(300).await.expect("the outbox"), entries[..1]);
    assert_eq!(look(301).await.expect("the outbox"), entries[..2]);
    // The flight's creation is nothing that a booking waits for.
    let facts = messages(on.outbox(Lane::Facts).await);
    assert_eq!(facts.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), [Topic::AirlineEvents]);
}

async fn only_the_named_rows_leave_the_outbox(on: Fixture) {
    for _ in 0..3 {
        on.flight(1).await;
    }
    let entries = on.outbox(Lane::Facts).await;
    assert_eq!(entries.len(), 3);
    let sent = [entries[0].id, entries[2].id];
    let left = on.store.outbox(Lane::Facts, &sent, 9).await.expect("the outbox");
    assert_eq!(left, entries[1..2]);
    assert_eq!(on.outbox(Lane::Facts).await, entries[1..2]);

    let ended = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(ended.len(), 3, "each creation ends its day's answers");
    assert_eq!(on.store.invalidations(2).await.expect("ends of answers"), ended[..2]);
    on.store.forget_invalidations(&[ended[0].0], false).await.expect("forgotten");
    assert_eq!(on.store.invalidations(9).await.expect("ends of answers"), ended[1..]);
    on.store.forget_invalidations(&[ended[1].0, ended[2].0], true).await.expect("replaced");
    let all: Vec<_> = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(all.into_iter().map(|(_, ended)| ended).collect::<Vec<_>>(), [Invalidation::All]);
}

async fn a_search_returns_the_flights_on_sale_of_its_day(on: Fixture) {
    let zone = ScheduleZone("Asia/Kolkata".parse().expect("a zone"));
    let date = "2025-01-15".parse().expect("a date");
    let (from, until) = zone.bounds(date);
    let second = chrono::TimeDelta::seconds(1);
    let currency = "INR".parse().expect("a currency");
    let flights = [
        new_flight(3, from - second),
        new_flight(3, until - second),
        new_flight(3, from),
        new_flight(3, until),
        NewFlight { available_seats: 0, ..new_flight(3, from) },
        NewFlight { flight_status: FlightStatus::Departed, ..new_flight(3, from + second) },
        NewFlight { flight_status: FlightStatus::Delayed, ..new_flight(3, from + second * 2) },
        NewFlight { source: "DELHI ".into(), ..new_flight(3, from + second * 3) },
        NewFlight { destination: "Chennai".into(), ..new_flight(3, from + second * 4) },
    ];
    for flight in flights {
        let day = DayKey { route: route_key(&flight.source, &flight.destination), date };
        on.store.create_flight(flight, &day, currency, on.now).await.expect("a flight");
    }
    let found = on.store.search(&route_key("delhi", "MUMBAI"), from, until).await.expect("found");
    let departures: Vec<_> = found.iter().map(|flight| flight.departs_at).collect();
    assert_eq!(departures, [from, from + second * 2, from + second * 3, until - second]);
    // Of every route, and sold-out ones too.
    let on_sale = on.store.on_sale(from, until).await.expect("found");
    let ids: Vec<_> = on_sale.iter().map(|flight| flight.id.0).collect();
    assert_eq!(ids, [3, 5, 7, 8, 9, 2]);
}

async fn a_repeated_import_creates_nothing(on: Fixture) {
    let currency = "INR".parse().expect("a currency");
    let mut flights: Vec<_> = (0..25_000)
        .map(|number| {
            let departs_at = on.now + chrono::TimeDelta::minutes(number / 2);
            let flight_number = (number % 2 == 0).then(|| format!("AI{number}").into());
            NewFlight { flight_number, ..new_flight(180, departs_at) }
        })
        .collect();
    // The same line twice in one file.
    flights.push(flights[0].clone());
    let import = async |flights: &[NewFlight]| {
        on.store.import_flights(flights, currency, on.now).await.expect("an import")
    };
    assert!(on.store.is_empty().await.expect("an answer"));
    assert_eq!(import(&flights).await, 25_000);
    assert_eq!(import(&flights).await, 0);
    for lane in Lane::ALL {
        assert_eq!(on.outbox(lane).await, []);
    }
    let ended = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(ended.into_iter().map(|(_, ended)| ended).collect::<Vec<_>>(), [Invalidation::All]);
    assert_eq!(on.violations().await, 0);
}

async fn flights_are_found_by_their_numbers(on: Fixture) {
    let numbers = ["AB1", "AB2"].map(str::to_owned);
    let numbered = async || on.store.numbered(&numbers).await.expect("an answer");
    assert_eq!(numbered().await, Numbered { others: 0, newest: None });
    let import = async |names: &[Option<&str>], minutes: i64| {
        let at = on.now + chrono::TimeDelta::minutes(minutes);
        let flight = |(nth, name): (usize, Option<&str>)| {
            let departs_at = on.now + chrono::TimeDelta::days(1 + nth as i64);
            NewFlight { flight_number: name.map(Into::into), ..new_flight(9, departs_at) }
        };
        let flights: Vec<_> = names.iter().copied().enumerate().map(flight).collect();
        on.store
            .import_flights(&flights, "INR".parse().expect("a currency"), at)
            .await
            .expect("in");
        at
    };
    import(&[Some("AB2"), None], 0).await;
    let newest = Some(import(&[Some("AB1")], 1).await);
    import(&[Some("AB10"), Some("ab1")], 2).await;
    assert_eq!(numbered().await, Numbered { others: 3, newest });
    import(&[None; 120], 3).await;
    assert_eq!(numbered().await, Numbered { others: OTHERS_MAX, newest: None });
}

async fn booking_numbers_are_drawn_once(on: Fixture) {
    let draws = (0..600).map(|_| on.store.draw_booking_id());
    let drawn: Vec<BookingId> =
        futures::future::try_join_all(draws).await.expect("numbers").into_iter().collect();
    let different: BTreeSet<_> = drawn.iter().collect();
    assert_eq!(different.len(), 600);
}

async fn overdue_payments_are_found_and_retried_once(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    let later = on.now + chrono::TimeDelta::minutes(5);
    assert_eq!(on.lapsed_holds(on.now, 9).await, []);
    assert_eq!(on.lapsed_holds(later, 9).await, [hold.reference]);

    assert_eq!(on.unanswered_payments(on.now, 9).await, []);
    let overdue = on.unanswered_payments(later, 9).await;
    let [(payment, booking)] = &overdue[..] else { panic!("{overdue:?}") };
    assert_eq!((payment.reference, booking.id), (hold.reference, hold.booking_id));
    let event = request(booking, payment, PaymentAction::Capture, later);
    let requests = [(payment.clone(), OutboxEvent { event, traceparent: None })];
    let before = on.outbox(Lane::Requests).await.len();
    on.store.redrive(&requests, later).await.expect("driven");
    // A second sweeper that read the same row comes too late.
    on.store.redrive(&requests, later).await.expect("nothing to drive");
    assert_eq!(on.outbox(Lane::Requests).await.len(), before + 1);
    assert_eq!(on.unanswered_payments(later, 9).await, []);
}

async fn bookings_of_a_cancelled_flight_are_found_until_they_have_ended(on: Fixture) {
    let (flight, other) = (on.flight(10).await.id, on.flight(10).await.id);
    let holds = [on.hold(flight, 1).await, on.hold(flight, 2).await, on.hold(other, 3).await];
    on.commit(&on.decide(&holds.clone().map(Command::Hold)).await).await;
    on.commit(&on.decide(&[captured(&holds[0], "2500.00")]).await).await;
    let stranded = async || {
        let mut found = BTreeSet::new();
        let mut after = None;
        loop {
            let page = on.store.stranded_bookings(after, 1).await.expect("bookings");
            found.extend(page.iter().map(|(_, booking)| *booking));
            after = page.last().copied();
            if page.is_empty() {
                break found;
            }
        }
    };
    assert_eq!(stranded().await, BTreeSet::new());

    let patch =
        FlightPatch { flight_status: Some(FlightStatus::Cancelled), ..FlightPatch::default() };
    let put = Command::PutFlight(PutFlight { flight_id: flight, patch, expected: None });
    on.commit(&on.decide(&[put]).await).await;
    // One that is paid for and one that is not.
    assert_eq!(stranded().await, [holds[0].booking_id, holds[1].booking_id].into());
    for hold in &holds[..2] {
        assert!(stranded().await.contains(&hold.booking_id), "until it has ended");
        let (booking_id, by) = (hold.booking_id, CancelledBy::Airline);
        on.commit(&on.decide(&[Command::Cancel(Cancel { booking_id, by, request: None })]).await)
            .await;
    }
    assert_eq!(stranded().await, BTreeSet::new());
    assert_eq!(stranded().await, BTreeSet::new(), "the flight is forgotten");
}

async fn sent_rows_leave_the_outbox_while_others_wait(on: Fixture) {
    for _ in 0..40 {
        on.flight(1).await;
    }
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    let (sent, waiting) = ids.split_at(35);
    let left = on.store.outbox(Lane::Facts, sent, 99).await.expect("the outbox");
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), waiting);
    let backlog = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!(backlog.outbox, 5);
}

async fn waiting_outbox_rows_are_counted(on: Fixture) {
    let flight = on.flight(10).await.id;
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    assert_eq!(on.store.outbox(Lane::Facts, &ids, 99).await.expect("the outbox"), []);
    let later = on.now + chrono::TimeDelta::minutes(5);
    let nothing = on.store.backlog(later, later).await.expect("a backlog");
    assert_eq!(nothing, Backlog::default());

    for _ in 0..2 {
        let hold = on.hold(flight, 1).await;
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let waiting = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!((waiting.stuck_bookings, waiting.unanswered_payments), (0, 0));
    let late = on.store.backlog(later, later).await.expect("a backlog");
    assert_eq!((late.stuck_bookings, late.unanswered_payments, late.outbox), (2, 2, 2));
    let since = late.outbox_since.expect("a message waits");
    assert!((since - on.now).abs() < chrono::TimeDelta::milliseconds(1), "{since}");
}

async fn a_payment_keeps_the_trace_in_which_it_began(on: Fixture) {
    let flight = on.flight(10).await.id;
    let [traced, untraced] = [on.hold(flight, 1).await, on.hold(flight, 1).await];
    let trace: Arc<str> = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
    let holds = [traced.clone(), untraced.clone()];
    let mut changes = on.decide(&holds.map(Command::Hold)).await;
    let first = changes.commands.remove(0).in_trace(Some(trace.clone()));
    changes.commands.insert(0, first);
    on.commit(&changes).await;

    let later = on.now + chrono::TimeDelta::minutes(5);
    let payments = on.unanswered_payments(later, 9).await;
    for (payment, _) in payments {
        let expected = (payment.reference == traced.reference).then(|| trace.clone());
        assert_eq!(payment.traceparent, expected);
    }
    let told: Vec<_> = messages(on.outbox(Lane::Requests).await)
        .into_iter()
        .map(|(_, message)| message.headers.get("traceparent").map(str::to_owned))
        .collect();
    assert_eq!(told, [Some(trace.to_string()), None]);
}

async fn concurrent_commits_of_one_flight_count_every_seat(on: Fixture) {
    let flights = [on.flight(200).await.id, on.flight(200).await.id, on.flight(200).await.id];
    let on = &on;
    let attempts = (0..48_usize).map(|number| async move {
        // Each takes the two flights in another order.
        let (one, other) = (flights[number % 3], flights[(number + 1) % 3]);
        let holds = [on.hold(one, 1).await, on.hold(other, 2).await];
        for _ in 0..1_000 {
            let changes = on.decide(&holds.clone().map(Command::Hold)).await;
            let stale: Vec<_> = on.commit(&changes).await.into_iter().collect();
            match stale[..] {
                [] => return 3,
                [ChangesId(0)] => return 2,
                [ChangesId(1)] => return 1,
                _ => {}
            }
        }
        panic!("never got through");
    });
    let seats: i32 = futures::future::join_all(attempts).await.into_iter().sum();
    let mut held = 0;
    for flight in flights {
        held += on.load(flight).await.held_seats;
    }
    assert_eq!(held, seats);
    assert!(seats >= 48);
    assert_eq!(on.violations().await, 0);
}

async fn a_schema_of_a_later_release_is_served(on: Fixture) {
    let step = "INSERT INTO _sqlx_migrations
                SELECT 9999, 'later', installed_on, success, checksum, execution_time
                  FROM _sqlx_migrations WHERE version = 3";
    assert_eq!(on.database.plant(step).await, 1);
    let again = on.database.open(Duration::ZERO, Arc::new(SystemClock)).await;
    again.store.ping().await.expect("it answers");
}

#[tokio::test]
async fn one_replica_at_a_time_leads_a_job() {
    let database = TestDatabase::postgres().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let one = database.open(Duration::ZERO, clock.clone()).await.store;
    let other = database.open(Duration::ZERO, clock).await.store;
    let mut lease = one.lease(Job::Relay).await.expect("an answer").expect("it is free");
    assert!(lease.is_held().await);
    assert!(other.lease(Job::Relay).await.expect("an answer").is_none());
    assert!(other.lease(Job::Sweep).await.expect("an answer").is_some(), "another job is free");
    drop(lease);
    other.wait_for(Job::Relay).await;
}

async fn pages_skip_unreadable_rows_and_reach_all_others(on: Fixture) {
    let flight = on.flight(50).await.id;
    let mut holds = Vec::new();
    for _ in 0..6 {
        let hold = on.hold(flight, 1).await;
        on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
        holds.push(hold);
    }
    for (number, hold) in holds[..2].iter().enumerate() {
        let (id, was) = (hold.booking_id.0, hold.reference);
        let other = format!("'PAY-damaged-{number}'");
        on.database
            .plant(&format!("UPDATE bookings SET payment_reference_id = {other} WHERE id = {id}"))
            .await;
        on.database
            .plant(&format!("UPDATE payments SET reference = {other} WHERE reference = '{was}'"))
            .await;
    }
    let damaged = holds[2].reference;
    on.database
        .plant(&format!("UPDATE payments SET currency = 'none' WHERE reference = '{damaged}'"))
        .await;
    let without_booking = holds[3].booking_id.0;
    on.database
        .plant(&format!("UPDATE bookings SET status = 'odd' WHERE id = {without_booking}"))
        .await;

    let later = on.now + chrono::TimeDelta::minutes(5);
    for limit in [1, 2, 9] {
        let lapsed: BTreeSet<_> = on.lapsed_holds(later, limit).await.into_iter().collect();
        for hold in &holds[4..] {
            assert!(lapsed.contains(&hold.reference), "a page of {limit}");
        }
        let unanswered = on.unanswered_payments(later, limit).await;
        let unanswered: BTreeSet<_> = unanswered.iter().map(|(p, _)| p.reference).collect();
        assert_eq!(unanswered, holds[4..].iter().map(|hold| hold.reference).collect());
    }
    on.database
        .plant(&format!("UPDATE payments SET status = 'odd' WHERE reference = '{damaged}'"))
        .await;
    let asked = [damaged, holds[4].reference];
    let read = on.store.payments_asked(&asked).await.expect("payments");
    assert_eq!(read.into_keys().collect::<Vec<_>>(), [holds[4].reference]);
    let unreadable = on.store.unreadable();
    assert_eq!((unreadable["payments"], unreadable["bookings"]), (3, 1), "{unreadable:?}");
}

async fn lists_and_searches_leave_out_unreadable_rows(on: Fixture) {
    let (mut flights, mut bookings) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        flights.push(on.flight(50).await);
    }
    for _ in 0..5 {
        let hold = on.hold(flights[3].id, 1).await;
        bookings.push(hold.booking_id);
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let is_postgres = matches!(on.database, TestDatabase::Postgres(_));
    let (price, created_at) = if is_postgres {
        ("price = 'NaN'", "'infinity'")
    } else {
        ("total_seats = 9999999999", "9223372036854775807")
    };
    for (table, id, value) in [
        ("flights", flights[0].id.0, "currency = 'none'"),
        ("flights", flights[1].id.0, price),
        ("flights", flights[2].id.0, &format!("created_at = {created_at}")),
        ("bookings", bookings[4].0, "status = 'odd'"),
        ("bookings", bookings[2].0, &format!("created_at = {created_at}")),
    ] {
        on.database.plant(&format!("UPDATE {table} SET {value} WHERE id = {id}")).await;
    }
    let (departs, hour) = (flights[3].departs_at, chrono::TimeDelta::hours(1));
    let route = route_key("Delhi", "Mumbai");
    for _ in 0..2 {
        let found = on.store.search(&route, departs - hour, departs + hour).await;
        let found: Vec<_> = found.expect("a search").iter().map(|flight| flight.id).collect();
        assert_eq!(found, [flights[3].id]);
        for limit in [1, 2, 3, 9] {
            let list =
                on.store.bookings_of_user(UserId(7), None, None, limit).await.expect("a list");
            let list: Vec<_> = list.iter().map(|booking| booking.id).collect();
            let readable = [bookings[3], bookings[1], bookings[0]];
            assert_eq!(list, readable[..limit.min(3)], "a list of {limit}");
        }
    }
    let unreadable = on.store.unreadable();
    assert_eq!((unreadable["flights"], unreadable["bookings"]), (3, 2), "{unreadable:?}");
    for flight in &flights[..3] {
        let alone = on.store.flight(flight.id).await.expect_err("a clear error").to_string();
        assert!(alone.starts_with("flights.") && alone.contains("is corrupt"), "{alone}");
    }
    let alone = on.store.booking(bookings[2]).await.expect_err("a clear error").to_string();
    assert!(alone.starts_with("bookings.created_at of row"), "{alone}");
}

async fn loading_a_batch_names_its_unreadable_rows(on: Fixture) {
    let (sound, damaged) = (on.flight(50).await.id, on.flight(50).await.id);
    let mut holds = Vec::new();
    for key in ["one", "two", "three", "four"] {
        let mut hold = on.hold(sound, 1).await;
        hold.idempotency = Some(IdempotencyKey { key: key.into(), request_hash: "h".into() });
        on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
        holds.push(hold);
    }
    let requests = ["one", "two"].map(|key| request_of(key, "a"));
    for request in &requests {
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: on.now.date_naive() };
        let (flight, currency) = (new_flight(9, on.now), "INR".parse().expect("a currency"));
        let made = on.store.create_flight_once(request, flight, &day, currency, on.now).await;
        made.expect("a flight");
    }
    let is_postgres = matches!(on.database, TestDatabase::Postgres(_));
    let never = if is_postgres { "'infinity'" } else { "9223372036854775807" };
    let payment = holds[1].reference;
    for statement in [
        format!("UPDATE flights SET currency = 'none' WHERE id = {damaged}"),
        format!("UPDATE bookings SET status = 'odd' WHERE id = {}", holds[0].booking_id),
        format!("UPDATE payments SET status = 'odd' WHERE reference = '{payment}'"),
        format!("UPDATE idempotency_keys SET created_at = {never} WHERE key = 'three'"),
        format!("UPDATE request_keys SET created_at = {never} WHERE key = 'one'"),
        format!("UPDATE bookings SET seats_booked = 2147483647 WHERE flight_id = {sound}"),
    ] {
        assert!(on.database.plant(&statement).await > 0, "{statement}");
    }
    let holder = (sound, UserId(7));
    let wanted = Wanted {
        flights: [sound, damaged].into(),
        payments: [holds[1].reference, holds[3].reference].into(),
        bookings: [holds[0].booking_id].into(),
        idempotency: ["three", "four"].map(|key| (UserId(7), key.into())).into(),
        pending: [(holder, on.now)].into(),
        requests: requests.iter().map(RequestKey::name).collect(),
    };
    let state = on.store.load(&wanted).await.expect("a state");
    assert_eq!(state.flights.into_keys().collect::<Vec<_>>(), [sound]);
    let bookings: BTreeSet<_> = state.bookings.into_keys().collect();
    assert_eq!(bookings, [holds[1].booking_id, holds[3].booking_id].into());
    assert_eq!(state.payments.into_keys().collect::<Vec<_>>(), [holds[3].reference]);
    let key = |key: &str| (UserId(7), Arc::<str>::from(key));
    assert_eq!(state.idempotency.into_keys().collect::<Vec<_>>(), [key("four")]);
    assert_eq!(state.requests.into_keys().collect::<Vec<_>>(), [requests[1].name()]);
    assert_eq!(state.pending[&holder], i32::MAX, "more than a count can say");
    let named = |name: &RowName| {
        let Damage { table, column, .. } = &state.unreadable[name];
        format!("{table}.{column}")
    };
    for (name, damage) in [
        (RowName::Flight(damaged), "flights.currency"),
        (RowName::Booking(holds[0].booking_id), "bookings.status"),
        (RowName::Payment(holds[0].reference), "bookings.status"),
        (RowName::Payment(payment), "payments.status"),
        (RowName::Key(UserId(7), "three".into()), "idempotency_keys.created_at"),
        (RowName::Request(requests[0].name()), "request_keys.created_at"),
    ] {
        assert_eq!(named(&name), damage, "{name:?}");
    }
    assert_eq!(state.unreadable.len(), 6, "{:?}", state.unreadable);
    assert_eq!(on.store.unreadable()["flights"], 1);
}

async fn an_unreadable_outbox_row_delays_no_other(on: Fixture) {
    for _ in 0..4 {
        on.flight(1).await;
    }
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    let later = r#"[["a-topic-of-a-later-release",{"key":"1","payload":"{}"}]]"#;
    on.database.plant(&format!("UPDATE outbox SET body = '{later}' WHERE id = {}", ids[0])).await;
    on.database.plant(&format!("UPDATE outbox SET body = 'damaged' WHERE id = {}", ids[1])).await;
    let readable = async |messages| {
        let look = on.store.outbox(Lane::Facts, &[], messages).await.expect("the outbox");
        look.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(readable(99).await, ids[2..]);
    assert_eq!(readable(1).await, ids[2..3], "more unreadable messages than a look takes");
    assert_eq!(on.store.outbox(Lane::Facts, &ids[2..], 99).await.expect("the outbox"), []);
    assert_eq!(on.store.unreadable()["outbox"], 2);
    let backlog = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!(backlog.outbox, 2, "the rows are still there");

    on.database.plant("UPDATE outdated_answers SET body = 'damaged'").await;
    let outdated = on.store.invalidations(99).await.expect("ends of answers");
    assert!(!outdated.is_empty());
    assert!(outdated.iter().all(|(_, ended)| *ended == Invalidation::All), "{outdated:?}");
}

async fn old_keys_are_deleted_in_steps(on: Fixture) {
    let flight = on.flight(50).await.id;
    for key in 0..5 {
        let mut hold = on.hold(flight, 1).await;
        let key = format!("key-{key}").into();
        hold.idempotency = Some(IdempotencyKey { key, request_hash: "a request".into() });
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let before = on.now + chrono::TimeDelta::hours(1);
    for forgotten in [2, 2, 1, 0] {
        assert_eq!(on.store.forget_keys(before, 2).await.expect("forgotten"), forgotten);
        let hold = on.hold(flight, 1).await;
        assert_eq!(on.commit(&on.decide(&[Command::Hold(hold)]).await).await, NOTHING);
    }
}
