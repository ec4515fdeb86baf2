//! Idempotency keys.

use super::{Fixture, NOTHING, ids, new_flight, request_of};
use airline_booking::domain::{BookingStatus, DayKey, UserId, route_key};
use airline_booking::rules::{
    Cancel, CancelledBy, ChangeSet, Changes, Claim, Command, Hold, IdempotencyKey, OrderPart,
    RequestRecord, State, Wanted,
};
use std::collections::BTreeSet;
use std::sync::Arc;

on_each_store! {
    a_used_key_is_stale_and_an_expired_one_is_replaced
    a_flights_idempotency_key_is_kept_for_a_day_and_deleted_in_steps
    a_request_whose_key_another_commit_took_writes_nothing
    old_keys_are_deleted_in_steps
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
        bookings.push(hold.order_id());
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let cancel = |booking_id, request| {
        Command::Cancel(Cancel {
            part: OrderPart::default(),
            booking_id,
            by: CancelledBy::Traveller,
            request,
            expected_refund: None,
        })
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
