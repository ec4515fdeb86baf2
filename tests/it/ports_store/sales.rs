//! Sales by day: each movement of seats counts once.

use super::Fixture;
use airline_booking::domain::{BookingId, DaySales, FlightId, SeatsMoved};
use airline_booking::rules::Command;
use chrono::NaiveDate;
use std::collections::BTreeMap;

on_each_store! {
    movements_count_once_however_often_and_in_whatever_order_they_come
    counters_that_count_the_same_at_once_count_it_once
    unknown_flights_and_versions_that_a_flight_has_not_had_are_left_out
}

/// Versions that the tests' flight has had.
const VERSIONS: i64 = 61;

/// A flight of that version.
async fn flight(on: &Fixture) -> FlightId {
    let id = on.flight(200).await.id;
    let mut holds = Vec::new();
    for _ in 1..VERSIONS {
        holds.push(Command::Hold(on.hold(id, 1).await));
    }
    on.commit(&on.decide(&holds).await).await;
    assert_eq!(on.load(id).await.version, VERSIONS);
    id
}

/// Sales and returns of each of its versions, on three days.
fn movements(on: &Fixture, flight_id: FlightId) -> Vec<(SeatsMoved, NaiveDate)> {
    let day = |version: i64| NaiveDate::from_ymd_opt(2025, 1, 1 + (version % 3) as u32);
    let moved = |version: i64| SeatsMoved {
        flight_id,
        version,
        seats: if version % 5 == 0 { -1 } else { 1 + (version % 4) as i32 },
        booking_id: BookingId(version),
        at: on.now,
    };
    (2..=VERSIONS).map(|version| (moved(version), day(version).expect("a date"))).collect()
}

fn sum(moved: &[(SeatsMoved, NaiveDate)]) -> Vec<DaySales> {
    let mut days = BTreeMap::new();
    for (moved, date) in moved {
        let day = days.entry(*date).or_insert(DaySales { date: *date, sold: 0, returned: 0 });
        day.sold += i64::from(moved.seats.max(0));
        day.returned += i64::from((-moved.seats).max(0));
    }
    days.into_values().collect()
}

async fn movements_count_once_however_often_and_in_whatever_order_they_come(on: Fixture) {
    let id = flight(&on).await;
    assert_eq!(on.store.sales(id).await.expect("sales"), Some(Vec::new()));
    let all = movements(&on, id);
    // Each twice, far from its place.
    let mixed: Vec<_> = (0..2 * all.len()).map(|at| all[at * 37 % all.len()]).collect();
    for part in mixed.chunks(7) {
        on.store.count_sales(part).await.expect("counted");
    }
    assert_eq!(on.store.sales(id).await.expect("sales"), Some(sum(&all)));
    on.store.count_sales(&all).await.expect("counted");
    assert_eq!(on.store.sales(id).await.expect("sales"), Some(sum(&all)));
}

async fn counters_that_count_the_same_at_once_count_it_once(on: Fixture) {
    let (first, second) = (flight(&on).await, flight(&on).await);
    let mut all = movements(&on, first);
    all.extend(movements(&on, second));
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    let counts = (0..8).map(|at| on.store.count_sales(if at % 2 == 0 { &all } else { &backwards }));
    for counted in futures::future::join_all(counts).await {
        counted.expect("counted");
    }
    for id in [first, second] {
        let of_flight: Vec<_> = movements(&on, id);
        assert_eq!(on.store.sales(id).await.expect("sales"), Some(sum(&of_flight)));
    }
}

async fn unknown_flights_and_versions_that_a_flight_has_not_had_are_left_out(on: Fixture) {
    let id = flight(&on).await;
    let all = movements(&on, id);
    let late = (SeatsMoved { version: VERSIONS + 1, ..all[0].0 }, all[0].1);
    let elsewhere = (SeatsMoved { flight_id: FlightId(i64::MAX), ..all[0].0 }, all[0].1);
    on.store.count_sales(&[late, elsewhere, all[1]]).await.expect("counted");
    assert_eq!(on.store.sales(id).await.expect("sales"), Some(sum(&all[1..2])));
    assert_eq!(on.store.sales(FlightId(i64::MAX)).await.expect("an answer"), None);
}
