//! Sample flights: an empty database gets some, and new ones are added daily until real flights exist.

use crate::support::{TestApp, flight};
use chrono::TimeDelta;
use serde_json::{Value, json};

/// The flights from Delhi to Mumbai on the day after the clock's.
async fn tomorrow(app: &TestApp, days_after: i64) -> Vec<Value> {
    let start = crate::support::start_of_test().date_naive();
    let date = start + TimeDelta::days(days_after + 1);
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=";
    let answer = app.get(&format!("{path}{date}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["flights"].as_array().expect("flights").clone()
}

async fn add(app: &TestApp) {
    app.app.add_sample_flights().await.expect("added");
    app.run_until_idle().await;
}

#[tokio::test]
async fn new_sample_flights_are_added_as_days_pass() {
    let app = TestApp::start().await;
    add(&app).await;
    let first = tomorrow(&app, 0).await.len();
    assert!(first > 0);
    let mut passed = 0;
    for days in [1, 20, 10, 300] {
        passed += days;
        app.clock.advance(TimeDelta::days(days));
        // Asked before, so that an answer without them is cached.
        tomorrow(&app, passed + 20).await;
        for _ in 0..2 {
            add(&app).await;
            assert_eq!(tomorrow(&app, passed).await.len(), first, "after {passed} days");
            assert_eq!(tomorrow(&app, passed + 20).await.len(), first, "after {passed} days");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn the_specifications_examples_work_in_any_year() {
    let app = TestApp::start().await;
    app.clock.advance(TimeDelta::days(700));
    add(&app).await;
    app.clock.advance(TimeDelta::days(700));
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-15";
    let found = app.get(search).await;
    assert_eq!(found.json["count"], 3, "{found:?}");
    assert_eq!(found.json["flights"][0]["id"], 1);
    let book = json!({
        "flight_id": 1, "user_id": 123, "seats_booked": 2, "passenger_details": [
            {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30,
             "gender": "male"},
            {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28,
             "gender": "female"}
        ]
    });
    let booked = app.post("/api/v1/bookings", &book).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(booked).await["status"], "completed");
    let create = json!({
        "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
        "available_seats": 150, "total_seats": 180, "price": 2500.00
    });
    let created = app.post("/api/v1/flights", &create).await;
    assert_eq!(created.status, 201, "{created:?}");
    app.book(created.json["id"].as_i64().expect("an id"), 1).await.booking_id();
    let cancel = format!("/api/v1/bookings/{booked}/cancel");
    assert_eq!(app.post(&cancel, &json!({})).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_sample_that_was_moved_is_not_added_again() {
    let app = TestApp::start().await;
    add(&app).await;
    let before = tomorrow(&app, 10).await;
    let moved = &before[0];
    let path = format!("/api/v1/flights/{}", moved["id"]);
    let put = json!({
        "timestamp": "2025-01-12T18:35:00Z", "arrival_timestamp": "2025-01-12T20:35:00Z"
    });
    assert_eq!(app.put(&path, &put).await.status, 200);
    app.clock.advance(TimeDelta::days(5));
    add(&app).await;
    assert_eq!(tomorrow(&app, 10).await.len(), before.len());
    app.finish().await;
}

#[tokio::test]
async fn a_database_with_flights_of_its_own_gets_no_samples() {
    let app = TestApp::start().await;
    let own = app.add_flight(9).await;
    add(&app).await;
    assert_eq!(tomorrow(&app, 18).await.len(), 1);
    app.clock.advance(TimeDelta::days(30));
    add(&app).await;
    assert_eq!(app.get(&format!("/api/v1/flights/{}", own + 1)).await.status, 404);
    app.finish().await;
}

#[tokio::test]
async fn samples_stop_after_the_first_real_flight() {
    for number in [None, Some("XY7")] {
        let app = TestApp::start().await;
        add(&app).await;
        let mut body = flight(9);
        if let Some(number) = number {
            body["flight_number"] = json!(number);
        }
        assert_eq!(app.post("/api/v1/flights", &body).await.status, 201);
        app.clock.advance(TimeDelta::days(30));
        add(&app).await;
        assert_eq!(tomorrow(&app, 30).await, [] as [Value; 0]);
        app.finish().await;
    }
}
