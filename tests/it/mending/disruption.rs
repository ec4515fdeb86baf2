//! The progress of a cancelled flight's refunds, and the bookings that a move concerns.

use super::cancel;
use crate::support::{Answer, TestApp};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::Duration;

async fn read(app: &TestApp, flight: i64) -> Answer {
    app.get(&format!("/api/v1/flights/{flight}/disruption")).await
}

async fn put(app: &TestApp, flight: i64, body: Value) {
    let put = app.put(&format!("/api/v1/flights/{flight}"), &body).await;
    assert_eq!(put.status, 200, "{put:?}");
}

/// Reads a disruption, whose numbers must add up. Gives bookings, refunded, amount and whether it is done.
async fn look(app: &TestApp, flight: i64, kind: Value) -> (i64, i64, f64, bool) {
    let shown = read(app, flight).await;
    assert_eq!((shown.status.as_u16(), &shown.json["kind"]), (200, &kind), "{shown:?}");
    let number = |name: &str| shown.json[name].as_i64().expect("a number");
    assert_eq!(number("bookings"), number("refunded") + number("remaining"), "{shown:?}");
    let amount = shown.json["amount"].as_f64().expect("an amount");
    (number("bookings"), number("refunded"), amount, shown.json["done"] == true)
}

#[tokio::test]
async fn the_refunds_of_a_cancelled_flight_are_counted_while_they_are_made() {
    let app = TestApp::start().await;
    let flight = app.add_flight(60).await;
    let earlier = app.book(flight, 1).await.booking_id();
    let mut sold = Vec::new();
    for seats in [1, 2, 3] {
        sold.push(app.book(flight, seats).await.booking_id());
    }
    app.run_until_idle().await;
    cancel(&app, earlier, json!({})).await;
    cancel(&app, sold[2], json!({"passengers": [0]})).await;
    app.run_until_idle().await;
    assert_eq!(look(&app, flight, Value::Null).await, (0, 0, 0.0, true));
    app.gateway.close();
    app.book(flight, 1).await.booking_id();
    app.clock.advance(TimeDelta::seconds(1));
    put(&app, flight, json!({"flight_status": "cancelled"})).await;
    let all = 5.0 * 2_500.0;
    assert_eq!(look(&app, flight, json!("cancelled")).await, (4, 0, all, false));
    app.pass(Duration::from_secs(1)).await;
    let (bookings, _, amount, done) = look(&app, flight, json!("cancelled")).await;
    assert_eq!((bookings, amount, done), (4, all, false), "the gateway has not answered");
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(look(&app, flight, json!("cancelled")).await, (4, 4, all, true));
    read(&app, flight + 1).await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn a_moved_flight_counts_those_who_bought_another_departure() {
    let app = TestApp::start().await;
    let flight = app.add_flight(60).await;
    let mut sold = Vec::new();
    for _ in 0..3 {
        sold.push(app.book(flight, 1).await.booking_id());
    }
    app.run_until_idle().await;
    put(&app, flight, json!({"timestamp": "2025-01-20T13:00:00Z"})).await;
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(look(&app, flight, json!("moved")).await, (3, 0, 0.0, true));
    app.gateway.close();
    cancel(&app, sold[0], json!({})).await;
    assert_eq!(look(&app, flight, json!("moved")).await, (3, 0, 2_500.0, false));
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(look(&app, flight, json!("moved")).await, (3, 1, 2_500.0, true));
    put(&app, flight, json!({"timestamp": "2025-01-20T10:00:00Z"})).await;
    assert_eq!(look(&app, flight, json!("moved")).await, (1, 0, 0.0, true), "the last to buy");
    app.finish().await;
}
