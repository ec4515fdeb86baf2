//! Loading and committing batches.

use super::{Fixture, NOTHING, captured, ids, messages};
use airline_booking::clock::SystemClock;
use airline_booking::domain::{BookingId, PaymentReference, PaymentStatus, UserId};
use airline_booking::rules::{ChangesId, Command, Hold, Wanted};
use airline_booking::store::{Lane, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

on_each_store! {
    committed_rows_are_loaded
    a_stale_flight_stops_its_commands_and_no_others
    a_commit_is_written_completely_or_not_at_all
    a_taken_booking_number_is_stale
    a_commit_counts_the_seats_that_a_user_holds_unpaid
    a_commit_that_breaks_a_rule_writes_nothing
    booking_numbers_are_drawn_once
    a_payment_keeps_the_trace_in_which_it_began
    concurrent_commits_of_one_flight_count_every_seat
    a_schema_of_a_later_release_is_served
}

async fn committed_rows_are_loaded(on: Fixture) {
    let flight = on.flight(10).await;
    let hold = on.hold(flight.id, 2).await;
    let changes = on.decide(&[Command::Hold(hold.clone())]).await;
    assert_eq!(on.commit(&changes).await, NOTHING);

    let held = on.load(flight.id).await;
    assert_eq!((held.available_seats, held.held_seats, held.version), (10, 2, 2));
    let booking = on.store.booking(hold.order_id()).await.expect("an answer").expect("a booking");
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
    assert_eq!(Some(&payment.method), hold.method.as_ref());
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
        let booking = on.store.booking(hold.order_id()).await.expect("an answer");
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
    assert!(on.store.booking(beside.order_id()).await.expect("an answer").is_some());
    for _ in 0..2 {
        let other = on.store.draw_booking_id_instead_of(BookingId(1)).await.expect("a number");
        assert!(other > beside.order_id(), "{other:?} is above all that are stored");
    }
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

async fn a_commit_that_breaks_a_rule_writes_nothing(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    let mut changes = on.decide(&[Command::Hold(hold.clone())]).await;
    changes.commands[0].flights[0].after.held_seats = 11;
    let refused = on.store.commit(&changes).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(on.load(flight).await.held_seats, 0);
    assert_eq!(on.store.booking(hold.order_id()).await.expect("an answer"), None);
    assert_eq!(on.violations().await, 0);
}

async fn booking_numbers_are_drawn_once(on: Fixture) {
    let draws = (0..600).map(|_| on.store.draw_booking_id());
    let drawn: Vec<BookingId> =
        futures::future::try_join_all(draws).await.expect("numbers").into_iter().collect();
    let different: BTreeSet<_> = drawn.iter().collect();
    assert_eq!(different.len(), 600);
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
