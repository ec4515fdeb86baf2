//! Rows that cannot be read.

use super::{Fixture, new_flight, request_of};
use crate::support::TestDatabase;
use airline_booking::domain::{DayKey, UserId, route_key};
use airline_booking::rules::{Command, Damage, IdempotencyKey, RequestKey, RowName, Wanted};
use airline_booking::store::FlightFilter;
use std::collections::BTreeSet;
use std::sync::Arc;

on_each_store! {
    pages_skip_unreadable_rows_and_reach_all_others
    lists_and_searches_leave_out_unreadable_rows
    loading_a_batch_names_its_unreadable_rows
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
        let (id, was) = (hold.order_id().0, hold.reference);
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
    let without_booking = holds[3].order_id().0;
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
        bookings.push(hold.order_id());
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
            let (all, flight) = (FlightFilter::default(), flights[3].id);
            let list = on.store.flights(&all, None, limit).await.expect("a list");
            assert_eq!(list.iter().map(|flight| flight.id).collect::<Vec<_>>(), [flight]);
            let list = on.store.bookings_of_flight(flight, None, None, limit).await;
            let list: Vec<_> = list.expect("a list").iter().map(|booking| booking.id).collect();
            let readable = [bookings[0], bookings[1], bookings[3]];
            assert_eq!(list, readable[..limit.min(3)], "a manifest of {limit}");
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
        format!("UPDATE bookings SET status = 'odd' WHERE id = {}", holds[0].order_id()),
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
        bookings: [holds[0].order_id()].into(),
        idempotency: ["three", "four"].map(|key| (UserId(7), key.into())).into(),
        pending: [(holder, on.now)].into(),
        requests: requests.iter().map(RequestKey::name).collect(),
        ..Wanted::default()
    };
    let state = on.store.load(&wanted).await.expect("a state");
    assert_eq!(state.flights.into_keys().collect::<Vec<_>>(), [sound]);
    let bookings: BTreeSet<_> = state.bookings.into_keys().collect();
    assert_eq!(bookings, [holds[1].order_id(), holds[3].order_id()].into());
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
        (RowName::Booking(holds[0].order_id()), "bookings.status"),
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
