//! Waiting lists: what is written and read of them, and which the sweeper finds.

use super::{Fixture, NOTHING, captured, ids, new_flight, passengers, request_of};
use airline_booking::domain::{
    BookingStatus, DayKey, Entry, EntryStatus, Flight, FlightId, FlightStatus, Money, NewFlight,
    Passenger, PaymentKind, PaymentMethod, PaymentOutcome, PaymentReference, Timestamp, UserId,
    WaitlistId, route_key,
};
use airline_booking::rules::{
    Cancel, CancelledBy, ChangeSet, Command, Hold, Join, Leave, OrderPart, Settle, Wanted,
};
use airline_booking::store::{Ahead, EntryCounts, LinesDue};
use chrono::TimeDelta;

on_each_store! {
    an_entry_is_read_as_it_was_written_with_its_place_in_the_line
    a_walk_writes_bookings_entries_and_marks_together
    of_two_commands_of_a_line_one_is_written
    a_user_has_one_active_entry_for_a_flight
    lines_are_found_while_they_have_something_to_do
    lines_are_unserved_once_they_had_to_be_served_before
    an_erasure_reaches_a_party_whose_promotion_is_decided
}

impl Fixture {
    /// A flight of three seats that departs in a month, sold to one user.
    async fn sold_out(&self) -> (Flight, Hold) {
        let departs_at = self.now + TimeDelta::days(30);
        let new = NewFlight { departs_at, ..new_flight(3, self.now) };
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: departs_at.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let flight = self.store.create_flight(new, &day, currency, self.now).await;
        let flight = flight.expect("a flight");
        let hold = self.hold(flight.id, 3).await;
        self.written(&[Command::Hold(hold.clone())]).await;
        self.written(&[captured(&hold, "7500.00")]).await;
        (flight, hold)
    }

    /// Decides and commits commands.
    async fn written(&self, commands: &[Command]) -> ChangeSet {
        let changes = self.decide(commands).await;
        assert_eq!(self.commit(&changes).await, NOTHING);
        changes
    }

    /// A party of a user.
    async fn party(&self, flight_id: FlightId, user: i64, seats: i32) -> Join {
        Join {
            id: WaitlistId::from(self.store.draw_booking_id().await.expect("a number")),
            reference: PaymentReference::draw(self.now),
            flight_id,
            user_id: UserId(user),
            seats,
            passengers: passengers(seats),
            auto: None,
            max_price: None,
            until: None,
            request: None,
        }
    }

    async fn lines_at(&self, now: Timestamp) -> Vec<FlightId> {
        let due = LinesDue { now, closing: now };
        self.store.lines_to_serve(due, None, 9).await.expect("flights")
    }

    async fn status_of(&self, id: WaitlistId) -> EntryStatus {
        self.store.entry(id).await.expect("an answer").expect("the entry").entry.status
    }
}

fn given_up(hold: &Hold) -> Command {
    Command::Cancel(Cancel {
        booking_id: hold.order_id(),
        part: OrderPart::default(),
        by: CancelledBy::Traveller,
        expected_refund: None,
        request: None,
    })
}

async fn an_entry_is_read_as_it_was_written_with_its_place_in_the_line(on: Fixture) {
    let (flight, _) = on.sold_out().await;
    let plain = on.party(flight.id, 8, 2).await;
    let special = Join {
        auto: Some(PaymentMethod::default()),
        max_price: Some(Money::from_minor(260_050)),
        until: Some(on.now + TimeDelta::microseconds(3_600_000_001)),
        request: Some(request_of("wait", "a")),
        ..on.party(flight.id, 9, 3).await
    };
    let joins = [Command::Join(plain.clone()), Command::Join(special.clone())];
    let written = on.written(&joins).await;
    let entries = written.commands.iter().map(|changes| changes.entries[0].after.clone());
    let ahead = [(0, 0), (1, 2)].map(|(parties, seats)| Ahead { parties, seats });
    for (after, ahead) in entries.zip(ahead) {
        let read = on.store.entry(after.id).await.expect("an answer").expect("the entry");
        assert_eq!(
            (read.ahead, read.passed, read.flight_status),
            (ahead, 0, FlightStatus::Scheduled)
        );
        assert_eq!(read.entry, Entry { passengers: None, ..after.clone() });
        let wanted = Wanted { lines: [flight.id].into(), ..Wanted::default() };
        let loaded = on.store.load(&wanted).await.expect("a state");
        assert_eq!(loaded.entries[&after.id], after, "with its passengers");
        let wanted = Wanted { entrants: [(flight.id, after.user_id)].into(), ..Wanted::default() };
        let loaded = on.store.load(&wanted).await.expect("a state");
        assert_eq!(loaded.entries.keys().collect::<Vec<_>>(), [&after.id]);
    }
    let line = written.commands[1].flights[0].after.line;
    assert_eq!((on.load(flight.id).await.line, line.waiting), (line, 2));
    assert_eq!(on.store.entry(WaitlistId(i64::MAX)).await.expect("an answer"), None);
    // A repeat under the key finds the entry.
    let repeat = on.decide(&[Command::Join(special)]).await;
    assert!(repeat.commands[0].is_empty());
}

async fn a_walk_writes_bookings_entries_and_marks_together(on: Fixture) {
    let (flight, hold) = on.sold_out().await;
    let auto = Some(PaymentMethod::default());
    let first = Join { auto, ..on.party(flight.id, 8, 2).await };
    let second = on.party(flight.id, 9, 3).await;
    let third = on.party(flight.id, 10, 1).await;
    let joins = [first.clone(), second.clone(), third.clone()].map(Command::Join);
    on.written(&joins).await;
    on.written(&[given_up(&hold), Command::Promote(flight.id)]).await;
    for (id, status) in [
        (first.id, EntryStatus::Offered),
        (second.id, EntryStatus::Waiting),
        (third.id, EntryStatus::Offered),
    ] {
        assert_eq!(on.status_of(id).await, status);
    }
    let counts = on.store.count_entries().await.expect("counts");
    assert_eq!(counts, EntryCounts { waiting: 1, offered: 2 });
    let record = on.store.entry(second.id).await.expect("an answer").expect("the entry");
    assert_eq!((record.entry.overtaken, record.ahead.parties), (1, 0));
    let after = on.load(flight.id).await;
    assert_eq!((after.available_seats, after.held_seats), (3, 3));
    assert_eq!((after.line.waiting, after.line.serve_due), (1, false));
    for (join, kind) in [(&first, PaymentKind::Now), (&third, PaymentKind::Later)] {
        let order = on.store.order(join.id.booking()).await.expect("an answer").expect("it").order;
        assert_eq!((order.first().status, order.payment.kind), (BookingStatus::Pending, kind));
        assert_eq!(order.payment.reference, join.reference);
        assert_eq!(order.first().passengers.as_deref(), Some(&*join.passengers));
    }
    on.assert_sound().await;
}

async fn of_two_commands_of_a_line_one_is_written(on: Fixture) {
    let (flight, hold) = on.sold_out().await;
    let party = on.party(flight.id, 8, 1).await;
    on.written(&[Command::Join(party.clone())]).await;
    on.written(&[given_up(&hold)]).await;
    let (id, flight_id) = (party.id, flight.id);
    let leaves = on.decide(&[Command::Leave(Leave { id, flight_id })]).await;
    let promotes = on.decide(&[Command::Promote(flight.id)]).await;
    assert_eq!(on.commit(&leaves).await, NOTHING);
    assert_eq!(on.commit(&promotes).await, ids([0]));
    assert_eq!(on.status_of(id).await, EntryStatus::Left);
    assert_eq!(on.store.order(id.booking()).await.expect("an answer"), None);
    on.assert_sound().await;
}

async fn a_user_has_one_active_entry_for_a_flight(on: Fixture) {
    let (flight, _) = on.sold_out().await;
    let (one, two) = (on.party(flight.id, 8, 1).await, on.party(flight.id, 8, 2).await);
    let both = [one.clone(), two.clone()].map(Command::Join);
    let decided = on.decide(&both).await;
    assert!(decided.commands[1].is_empty(), "the first of them is known");
    let (one, late) =
        (on.decide(&[Command::Join(one)]).await, on.decide(&[Command::Join(two.clone())]).await);
    assert_eq!(on.commit(&one).await, NOTHING);
    assert_eq!(on.commit(&late).await, ids([0]));
    assert!(on.decide(&[Command::Join(two.clone())]).await.commands[0].is_empty());
    let (id, flight_id) = (one.commands[0].entries[0].after.id, flight.id);
    on.written(&[Command::Leave(Leave { id, flight_id }), Command::Join(two)]).await;
    on.assert_sound().await;
}

async fn lines_are_found_while_they_have_something_to_do(on: Fixture) {
    let (flight, hold) = on.sold_out().await;
    on.sold_out().await;
    let until = on.now + TimeDelta::hours(1);
    let auto = Some(PaymentMethod::default());
    let first = Join { until: Some(until), auto, ..on.party(flight.id, 8, 2).await };
    let second = on.party(flight.id, 9, 3).await;
    on.written(&[first.clone(), second.clone()].map(Command::Join)).await;
    assert_eq!(on.lines_at(on.now).await, []);
    // An entry ends, or the flight departs.
    assert_eq!(on.lines_at(until - TimeDelta::microseconds(1)).await, []);
    assert_eq!(on.lines_at(until).await, [flight.id]);
    assert_eq!(on.lines_at(flight.departs_at).await, [flight.id]);
    // Seats are free.
    on.written(&[given_up(&hold)]).await;
    assert_eq!(on.lines_at(on.now).await, [flight.id]);
    let due = LinesDue { now: on.now, closing: on.now };
    let page = on.store.lines_to_serve(due, Some(flight.id), 9).await.expect("flights");
    assert_eq!(page, []);
    assert_eq!(on.store.lines_to_serve(due, None, 0).await.expect("flights"), []);
    on.written(&[Command::Promote(flight.id)]).await;
    assert_eq!(on.lines_at(on.now).await, []);
    // An offer has ended, and its entry does not say so.
    let declined = Command::Settle(Settle {
        refund_id: None,
        reference: first.reference,
        booking_id: first.id.booking(),
        amount: Money::from_minor(500_000),
        outcome: PaymentOutcome::Failed,
    });
    on.written(&[declined]).await;
    assert_eq!(on.lines_at(on.now).await, [flight.id]);
    on.written(&[Command::Promote(flight.id)]).await;
    assert_eq!(on.lines_at(on.now).await, []);
    assert_eq!(on.status_of(first.id).await, EntryStatus::Declined);
    assert_eq!(on.status_of(second.id).await, EntryStatus::Offered);
    on.assert_sound().await;
}

async fn lines_are_unserved_once_they_had_to_be_served_before(on: Fixture) {
    let (flight, hold) = on.sold_out().await;
    let party = on.party(flight.id, 8, 2).await;
    on.written(&[Command::Join(party)]).await;
    let before = on.now + TimeDelta::microseconds(1);
    let unserved = async |before| on.store.unserved_lines(before, 9).await.expect("flights").len();
    assert_eq!(unserved(before).await, 0);
    on.written(&[given_up(&hold)]).await;
    assert_eq!((unserved(on.now).await, unserved(before).await), (0, 1));
    // Free seats that a party takes, without a mark that says so.
    on.database.plant("UPDATE flights SET serve_due = false").await;
    assert_eq!((unserved(on.now).await, unserved(before).await), (0, 1));
    for (planted, count) in [
        ("UPDATE waitlist SET max_price = 1", 0),
        ("UPDATE waitlist SET max_price = NULL, seats = 4", 0),
        ("UPDATE waitlist SET seats = 3", 1),
        ("UPDATE flights SET gathers_until = created_at", 1),
        ("UPDATE flights SET gathers_until = timestamp", 0),
        ("UPDATE flights SET gathers_until = NULL, waiting = 0", 0),
    ] {
        on.database.plant(planted).await;
        assert_eq!(unserved(before).await, count, "{planted}");
    }
    assert_eq!(on.store.unserved_lines(before, 0).await.expect("flights"), []);
}

async fn an_erasure_reaches_a_party_whose_promotion_is_decided(on: Fixture) {
    let (flight, hold) = on.sold_out().await;
    let party = on.party(flight.id, 8, 2).await;
    on.written(&[Command::Join(party.clone())]).await;
    on.written(&[given_up(&hold)]).await;
    let held = on.store.entries_held(UserId(8), WaitlistId(0), 9).await.expect("entries");
    assert_eq!(held[0].passengers.as_deref(), Some(&*party.passengers));
    let behind = on.store.entries_held(UserId(8), party.id, 9).await.expect("entries");
    assert_eq!((held.len(), behind.len()), (1, 0));
    let promotes = on.decide(&[Command::Promote(flight.id)]).await;
    for erased in [1, 0] {
        let done = on.store.erase_entries(UserId(8), on.now).await.expect("an erasure");
        assert_eq!(done, erased);
    }
    assert_eq!(on.commit(&promotes).await, ids([0]));
    on.written(&[Command::Promote(flight.id)]).await;
    let order = on.store.order(party.id.booking()).await.expect("an answer").expect("it").order;
    assert_eq!(order.first().passengers.as_deref(), Some(&*vec![Passenger::erased(); 2]));
}
