//! Who is served when.

use super::party;
use crate::support::{Fault, TestApp, booking};
use serde_json::{Value, json};
use std::time::Duration;

/// A flight with 4 seats sold one by one.
async fn of_four(app: &TestApp) -> (i64, Vec<i64>) {
    app.sold_out(4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_does_not_fit_is_passed_over_three_times_then_seats_gather_for_it() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(6).await;
    let large = app.join(flight, 7, 2).await;
    for (at, user) in [8, 9, 10].into_iter().enumerate() {
        let small = app.join(flight, user, 1).await;
        app.give_up(sold[at]).await;
        app.until_entry_is(small, "offered").await;
    }
    assert_eq!(app.entry(large).await["overtaken"], 3);
    app.give_up(sold[3]).await;
    app.run_until_idle().await;
    // One seat is free, and gathers: neither a party behind nor a new booking gets it.
    let behind = app.join(flight, 11, 1).await;
    let refused = app.book(flight, 1).await;
    refused.assert_problem(409, "insufficient_seats");
    let detail = refused.json["detail"].as_str().expect("a text");
    assert!(detail.contains(&format!("/api/v1/flights/{flight}/waitlist")), "{detail}");
    app.give_up(sold[4]).await;
    app.until_entry_is(large, "offered").await;
    assert_eq!(app.entry(behind).await["status"], "waiting");
    assert_eq!(app.entry(large).await["overtaken"], 3);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_gather_for_six_hours_at_most_and_then_go_to_those_behind() {
    let app = TestApp::start().await;
    let (flight, sold) = of_four(&app).await;
    let large = app.join(flight, 7, 3).await;
    // New bookings overtake it too.
    for booking in &sold[..3] {
        app.give_up(*booking).await;
        app.run_until_idle().await;
        let placed = app.book(flight, 1).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        app.run_until_idle().await;
    }
    assert_eq!(app.entry(large).await["overtaken"], 3);
    app.give_up(sold[3]).await;
    app.run_until_idle().await;
    app.book(flight, 1).await.assert_problem(409, "insufficient_seats");
    let behind = app.join(flight, 8, 1).await;
    app.pass(Duration::from_secs(6 * 3_600 - 1)).await;
    app.run_until_idle().await;
    assert_eq!(app.entry(behind).await["status"], "waiting");
    app.pass(Duration::from_secs(1)).await;
    app.until_entry_is(behind, "offered").await;
    assert_eq!(app.entry(large).await["status"], "waiting");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_with_a_price_limit_stands_aside_until_the_price_falls() {
    let app = TestApp::start().await;
    let (flight, sold) = of_four(&app).await;
    let mut thrifty = party(7, 1);
    thrifty["max_price"] = json!(2000.00);
    let thrifty = app.wait_as(flight, &thrifty).await.json["waitlist_id"].as_i64().expect("an id");
    app.give_up(sold[0]).await;
    app.run_until_idle().await;
    assert_eq!(app.entry(thrifty).await["status"], "waiting");
    let cheaper = json!({"price": 1999.00});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &cheaper).await.status, 200);
    app.until_entry_is(thrifty, "offered").await;
    assert_eq!(app.booking(thrifty).await["booking_price"], json!(1999.00));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_ends_at_its_time_at_the_departure_and_when_its_user_leaves() {
    let app = TestApp::start().await;
    let (flight, sold) = of_four(&app).await;
    let mut patient = party(7, 1);
    patient["until"] = json!("2025-01-01T02:00:00Z");
    let until = app.wait_as(flight, &patient).await.json["waitlist_id"].as_i64().expect("an id");
    let left = app.join(flight, 8, 1).await;
    let stays = app.join(flight, 9, 4).await;
    assert_eq!(app.leave(left).await.json["status"], "left");
    assert_eq!(app.leave(left).await.json["status"], "left");
    assert_eq!(app.entry(left).await["position"], Value::Null);
    app.pass(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(app.until_entry_is(until, "lapsed").await["reason"], "until");
    app.give_up(sold[0]).await;
    app.run_until_idle().await;
    assert_eq!(app.entry(stays).await["status"], "waiting");
    app.pass(Duration::from_secs(20 * 24 * 3_600)).await;
    assert_eq!(app.until_entry_is(stays, "lapsed").await["reason"], "departure");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_that_frees_seats_serves_the_line() {
    let app = TestApp::start().await;
    let (flight, _) = of_four(&app).await;
    // An operator puts seats on sale.
    let first = app.join(flight, 7, 1).await;
    let version = app.flight(flight).await["version"].clone();
    let more = json!({"total_seats": 5, "version": version});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &more).await.status, 200);
    app.until_entry_is(first, "offered").await;
    // An unpaid hold lapses: the first's own offer.
    let second = app.join(flight, 8, 1).await;
    app.pass(Duration::from_secs(31 * 60)).await;
    app.until_entry_is(second, "offered").await;
    // A passenger is cancelled.
    app.answer(second, "accept", &json!({"payment_method": "pm_card_visa"})).await;
    let third = app.join(flight, 9, 1).await;
    let part = json!({"passengers": [0]});
    let cancelled = app.post(&format!("/api/v1/bookings/{second}/cancel"), &part).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    app.until_entry_is(third, "offered").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_frees_its_held_seats_for_the_line() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1).await;
    app.gateway.close();
    let mut body = booking(flight, 1);
    body["payment_method"] = json!("pm_card_declined");
    assert_eq!(app.post("/api/v1/bookings", &body).await.status, 201);
    let id = app.join(flight, 7, 1).await;
    app.gateway.open();
    app.until_entry_is(id, "offered").await;
    app.finish().await;
}

/// The seats are free and the walk is due, and the promotion fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_makes_a_walk_that_a_fault_prevented() {
    let app = TestApp::start().await;
    let flight = app.add_flight(3).await;
    let sold = app.book(flight, 3).await.booking_id();
    app.run_until_idle().await;
    let id = app.join(flight, 7, 2).await;
    app.faults.plan([Fault::RefusesSeats(2)]);
    app.give_up(sold).await;
    app.run_until_idle().await;
    assert_eq!(app.entry(id).await["status"], "waiting");
    app.book(flight, 1).await.assert_problem(409, "insufficient_seats");
    app.faults.heal();
    app.pass(Duration::from_secs(1)).await;
    app.until_entry_is(id, "offered").await;
    assert_eq!(app.book(flight, 1).await.status, 201);
    app.finish().await;
}
