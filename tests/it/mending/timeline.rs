//! What happened to a booking, from its rows.

use super::{cancel, mend, paid};
use crate::support::TestApp;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::Duration;

/// The entries of a timeline.
pub(super) async fn of(app: &TestApp, booking: i64) -> Vec<Value> {
    let answer = app.get(&format!("/api/v1/bookings/{booking}/timeline")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["events"].as_array().expect("a list").clone()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a word")).collect()
}

#[tokio::test]
async fn a_whole_life_is_told_in_order_and_without_what_passengers_were_called() {
    let app = TestApp::start().await;
    let (flight, id) = paid(&app, 2).await;
    let step = || app.clock.advance(TimeDelta::hours(1));
    step();
    mend(&app, id, 0, &json!({"name": "Someone Secret"})).await;
    step();
    let moved = json!({"timestamp": "2025-01-20T11:30:00Z"});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &moved).await.status, 200);
    step();
    cancel(&app, id, json!({"passengers": [1]})).await;
    app.run_until_idle().await;
    let events = of(&app, id).await;
    let expected = [
        "held",
        "payment.requested",
        "payment.captured",
        "completed",
        "passenger.changed",
        "flight.moved",
        "passenger.cancelled",
        "refund.requested",
    ];
    assert_eq!(types(&events)[..8], expected);
    assert_eq!((&events[4]["passenger"], &events[6]["passenger"]), (&json!(0), &json!(1)));
    assert_eq!(events[5]["departs_at"], "2025-01-20T11:30:00Z");
    assert_eq!(events[7]["amount"], 2500.0);
    assert!(events.is_sorted_by_key(|event| event["at"].as_str().map(str::to_owned)));
    let shown = app.booking(id).await;
    assert_eq!(shown["was"], "2025-01-20T10:00:00Z", "{shown}");
    let itinerary = app.get(&format!("/api/v1/itineraries/{id}")).await;
    assert_eq!(itinerary.json["bookings"][0]["was"], shown["was"]);
    step();
    cancel(&app, id, json!({})).await;
    app.run_until_idle().await;
    step();
    let again = json!({"timestamp": "2025-01-20T12:00:00Z"});
    app.put(&format!("/api/v1/flights/{flight}"), &again).await;
    let events = of(&app, id).await;
    assert_eq!(types(&events).iter().filter(|kind| **kind == "flight.moved").count(), 1);
    assert!(types(&events).contains(&"cancelled"), "{events:?}");
    assert!(!json!(events).to_string().contains("Secret"));
    app.get("/api/v1/bookings/99/timeline").await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn a_departure_that_moves_back_is_no_other_departure() {
    let app = TestApp::start().await;
    let (flight, id) = paid(&app, 1).await;
    let path = format!("/api/v1/flights/{flight}");
    for (departure, was) in [
        ("2025-01-21T10:00:00Z", json!("2025-01-20T10:00:00Z")),
        ("2025-01-20T10:00:00Z", Value::Null),
    ] {
        app.clock.advance(TimeDelta::hours(1));
        assert_eq!(app.put(&path, &json!({"timestamp": departure})).await.status, 200);
        assert_eq!(app.booking(id).await["was"], was, "{departure}");
    }
    assert_eq!(types(&of(&app, id).await).iter().filter(|k| **k == "flight.moved").count(), 2);
    app.finish().await;
}

#[tokio::test]
async fn attempts_and_the_end_of_a_hold_are_told() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let mut body = crate::support::booking(flight, 1);
    body["payment"] = json!("later");
    let id = app.post("/api/v1/bookings", &body).await.booking_id();
    let pay = json!({"payment_method": "pm_card_declined"});
    app.post(&format!("/api/v1/bookings/{id}/payment"), &pay).await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(16 * 60)).await;
    app.run_until_idle().await;
    let events = of(&app, id).await;
    assert_eq!(types(&events), ["held", "payment.declined", "failed"]);
    assert_eq!(
        (&events[1]["attempt"], &events[2]["failure_reason"]),
        (&json!(1), &json!("hold_expired"))
    );
    app.finish().await;
}
