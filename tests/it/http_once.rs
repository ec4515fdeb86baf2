//! Idempotency keys of POST requests: a repeat creates nothing.

use crate::support::{Answer, TestApp, booking, flight};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const FLIGHTS: &str = "/api/v1/flights";

async fn post(app: &TestApp, path: &str, body: &Value, key: &str) -> Answer {
    app.send_json_with(Method::POST, path, body, &[("idempotency-key", key)]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn a_flight_posted_twice_with_one_key_is_created_once() {
    let app = TestApp::start().await;
    let first = post(&app, FLIGHTS, &flight(9), "schedule-7").await;
    assert_eq!((first.status.as_u16(), is_replayed(&first)), (201, false));
    let id = first.json["id"].as_i64().expect("an id");
    app.put(&format!("{FLIGHTS}/{id}"), &json!({"flight_status": "delayed"})).await;

    let mut reordered = flight(9);
    reordered["price"] = json!("2500");
    reordered["timestamp"] = json!("2025-01-20T15:30:00+05:30");
    let again = post(&app, FLIGHTS, &reordered, "\"schedule-7\"").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (201, true));
    assert_eq!(again.json["id"], id);
    assert_eq!(again.json["flight_status"], "delayed", "a replay shows the flight as it is now");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("etag"), Some("\"2\""));

    let other = post(&app, FLIGHTS, &flight(10), "schedule-7").await;
    other.assert_problem(422, "idempotency_key_reused");
    let fresh = post(&app, FLIGHTS, &flight(9), "schedule-8").await;
    assert!(fresh.json["id"] != id && !is_replayed(&fresh));
    assert_ne!(app.post(FLIGHTS, &flight(9)).await.json["id"], id, "without a key nothing is kept");
    app.finish().await;
}

#[tokio::test]
async fn a_refused_flight_does_not_use_its_key_up() {
    let app = TestApp::start().await;
    let mut unsound = flight(9);
    unsound["price"] = json!(0);
    post(&app, FLIGHTS, &unsound, "once").await.assert_problem(422, "validation_failed");
    assert_eq!(post(&app, FLIGHTS, &flight(9), "once").await.status, 201);
    for key in ["", "two words", "\"open", &"x".repeat(256)] {
        let answer = post(&app, FLIGHTS, &flight(9), key).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), ["/headers/Idempotency-Key"], "{key}");
    }
    app.finish().await;
}

#[tokio::test]
async fn flights_posted_concurrently_with_one_key_are_created_once() {
    let app = TestApp::start().await;
    let body = flight(9);
    let answers =
        futures::future::join_all((0..12).map(|_| post(&app, FLIGHTS, &body, "at-once"))).await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.json["id"].as_i64()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);

    let bodies: Vec<_> = (1..=8).map(flight).collect();
    let answers = bodies.iter().map(|body| post(&app, FLIGHTS, body, "one-of-eight"));
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.assert_problem(422, "idempotency_key_reused");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let app = TestApp::start().await;
    let id = post(&app, FLIGHTS, &flight(9), "daily").await.json["id"].clone();
    app.clock.advance(chrono::TimeDelta::hours(23));
    assert_eq!(post(&app, FLIGHTS, &flight(9), "daily").await.json["id"], id);
    app.clock.advance(chrono::TimeDelta::hours(2));
    let fresh = post(&app, FLIGHTS, &flight(9), "daily").await;
    assert!(fresh.json["id"] != id && !is_replayed(&fresh));
    app.finish().await;
}

#[tokio::test]
async fn a_repeated_cancellation_is_recognised_by_its_key() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let (one, two) = (app.book(id, 1).await.booking_id(), app.book(id, 2).await.booking_id());
    app.run_until_idle().await;
    let path = |booking: i64| format!("/api/v1/bookings/{booking}/cancel");

    let first = post(&app, &path(one), &json!({}), "give-up").await;
    assert_eq!((first.status.as_u16(), &first.json["status"]), (200, &json!("cancelled")));
    assert!(!is_replayed(&first));
    let again = post(&app, &path(one), &json!({}), "\"give-up\"").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, true));
    let other = post(&app, &path(two), &json!({}), "give-up").await;
    other.assert_problem(422, "idempotency_key_reused");
    assert_eq!(app.booking(two).await["status"], "completed");
    post(&app, &path(two), &json!({}), "two words").await.assert_problem(422, "validation_failed");

    // A refusal does not use the key up.
    post(&app, &path(999), &json!({}), "later").await.assert_problem(404, "not_found");
    let later = post(&app, &path(two), &json!({}), "later").await;
    assert_eq!((later.status.as_u16(), is_replayed(&later)), (200, false));
    app.finish().await;
}

#[tokio::test]
async fn a_quoted_key_equals_the_unquoted_one() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let body = booking(id, 1);
    let first = post(&app, "/api/v1/bookings", &body, "k1").await;
    for key in ["\"k1\"", " \"k1\" ", "\"k1\";v=2"] {
        let again = post(&app, "/api/v1/bookings", &body, key).await;
        assert_eq!(again.json["booking_id"], first.json["booking_id"], "{key}");
        assert!(is_replayed(&again));
    }
    assert_eq!(post(&app, "/api/v1/bookings", &body, "\"order 7\"").await.status, 201);
    app.pass(Duration::ZERO).await;
    app.finish().await;
}
