//! Cancellations that cost nothing, because the airline moved or cancelled a flight, and those after departure.

use super::{add, cancel, paid, quote, quoted};
use crate::support::{TestApp, booking, flight};
use chrono::TimeDelta;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn after_departure_a_traveller_gets_the_taxes_and_the_seats_stay_taken() {
    let app = TestApp::with(|config| config.booking_closes_before = Some(Duration::ZERO)).await;
    let flight = add(&app, "free").await;
    let id = paid(&app, flight, 2).await;
    app.clock.advance(TimeDelta::days(20));
    assert_eq!(quote(&app, id, "").await, quoted(600.0, 4400.0, 600.0, 5000.0, "no-show"));
    let one = cancel(&app, id, json!({"passengers": [0]})).await;
    assert_eq!(
        (&one.json["fee"], &one.json["refunds"][0]["amount"]),
        (&json!(2200.0), &json!(300.0))
    );
    let cancelled = cancel(&app, id, json!({})).await;
    assert_eq!(cancelled.json["status"], "cancelled", "{cancelled:?}");
    let shown = app.flight(flight).await;
    assert_eq!((&shown["available_seats"], &shown["blocked_seats"]), (&json!(7), &json!(2)));
    app.finish().await;
}

#[tokio::test]
async fn a_flight_that_moved_far_may_be_refused_free_of_charge() {
    let app = TestApp::start().await;
    let flight = add(&app, "standard").await;
    let id = paid(&app, flight, 1).await;
    let departs_at = app.flight(flight).await["timestamp"].clone();
    let sold: chrono::DateTime<chrono::Utc> =
        departs_at.as_str().expect("text").parse().expect("an instant");
    let put = async |moved: TimeDelta| {
        let body = json!({"timestamp": (sold + moved).to_rfc3339()});
        let put = app.put(&format!("/api/v1/flights/{flight}"), &body).await;
        assert_eq!(put.status, 200, "{put:?}");
    };
    put(TimeDelta::minutes(119)).await;
    assert_eq!(quote(&app, id, "").await["rule"], "standard/1");
    put(TimeDelta::minutes(-120)).await;
    assert_eq!(quote(&app, id, "").await, quoted(2500.0, 0.0, 300.0, 2500.0, "moved"));
    // Who books now knows the new departure.
    let new = paid(&app, flight, 1).await;
    assert_eq!(quote(&app, new, "").await["rule"], "standard/1");
    let cancelled = cancel(&app, id, json!({"expected_refund": 2500})).await;
    assert_eq!(cancelled.json["refunds"][0]["reason"], "moved", "{cancelled:?}");
    app.finish().await;
}

#[tokio::test]
async fn a_cancelled_flight_costs_no_fee_and_its_itinerary_can_be_given_up_free_of_charge() {
    let app = TestApp::start().await;
    let mut flights = Vec::new();
    for at in 0..2 {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at));
        body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at + 1));
        (body["taxes"], body["fare_rules"]) = (json!(300), json!("standard"));
        flights.push(app.post("/api/v1/flights", &body).await.json["id"].as_i64().expect("an id"));
    }
    let mut order = booking(1, 1);
    order.as_object_mut().expect("an object").remove("flight_id");
    order["segments"] = json!([{"flight_id": flights[0]}, {"flight_id": flights[1]}]);
    let id = app.post("/api/v1/itineraries", &order).await.json["itinerary_id"].clone();
    app.run_until_idle().await;
    let body = json!({"flight_status": "cancelled"});
    assert_eq!(app.put(&format!("/api/v1/flights/{}", flights[0]), &body).await.status, 200);
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;
    let path = format!("/api/v1/itineraries/{id}");
    let shown = app.get(&path).await.json;
    assert_eq!(shown["status"], "completed", "the other segment stays");
    assert_eq!(
        (&shown["refunds"][0]["amount"], &shown["refunds"][0]["reason"]),
        (&json!(2500.0), &json!("airline"))
    );
    let quote = app.get(&format!("{path}/cancellation")).await.json;
    assert_eq!(quote, quoted(2500.0, 0.0, 300.0, 2500.0, "airline"));
    let cancelled = app.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json["refunds"][1]["reason"], "airline", "{cancelled:?}");
    app.finish().await;
}
