//! Fare rules: what a cancellation costs, quoted first and confirmed then.

mod disruptions;
mod guards;

use crate::support::{Answer, TestApp, booking, flight};
use chrono::TimeDelta;
use serde_json::{Value, json};

fn path(name: &str) -> String {
    format!("/api/v1/fare-rules/{name}")
}

/// A flight of 9 seats for 2,500.00 with taxes of 300.00, sold with these rules.
async fn add(app: &TestApp, rules: &str) -> i64 {
    let mut body = flight(9);
    body["taxes"] = json!(300);
    body["fare_rules"] = json!(rules);
    let created = app.post("/api/v1/flights", &body).await;
    assert_eq!((created.status.as_u16(), &created.json["fare_rules"]), (201, &json!(rules)));
    created.json["id"].as_i64().expect("an id")
}

/// A paid booking.
async fn paid(app: &TestApp, flight: i64, seats: i32) -> i64 {
    let id = app.book(flight, seats).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["status"], "completed");
    id
}

async fn quote(app: &TestApp, id: i64, passengers: &str) -> Value {
    let answer = app.get(&format!("/api/v1/bookings/{id}/cancellation?{passengers}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

async fn cancel(app: &TestApp, id: i64, body: Value) -> Answer {
    app.post(&format!("/api/v1/bookings/{id}/cancel"), &body).await
}

fn quoted(refund: f64, fee: f64, taxes: f64, price: f64, rule: &str) -> Value {
    json!({"refund": refund, "fee": fee, "taxes": taxes, "price": price, "currency": "INR", "rule": rule})
}

#[tokio::test]
async fn a_cancellation_gives_back_what_its_quote_says() {
    let app = TestApp::start().await;
    let flight = add(&app, "standard").await;
    let id = paid(&app, flight, 3).await;
    // Nineteen days before departure: 25 % of 2,200.00 a passenger.
    let one = quoted(1950.0, 550.0, 300.0, 2500.0, "standard/1");
    assert_eq!(quote(&app, id, "passengers=1").await, one);
    let all = quoted(5850.0, 1650.0, 900.0, 7500.0, "standard/1");
    assert_eq!(quote(&app, id, "").await, all);
    let cancelled = cancel(&app, id, json!({"passengers": [1], "expected_refund": 1950})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let shown = &cancelled.json;
    assert_eq!((&shown["fee"], &shown["booking_price"]), (&json!(550.0), &json!(5000.0)));
    assert_eq!(shown["refunds"][0]["amount"], 1950.0);
    assert_eq!(app.flight(flight).await["available_seats"], 7);
    // Three days before departure it is half.
    app.clock.advance(TimeDelta::days(16));
    assert_eq!(quote(&app, id, "passengers=0").await["rule"], "standard/2");
    let rest = cancel(&app, id, json!({})).await;
    assert_eq!((&rest.json["status"], &rest.json["fee"]), (&json!("cancelled"), &json!(2750.0)));
    assert_eq!(rest.json["refunds"][1]["amount"], 2800.0);
    assert_eq!(quote(&app, id, "").await, quoted(0.0, 0.0, 0.0, 0.0, "cancelled"));
    app.finish().await;
}

#[tokio::test]
async fn a_quote_that_has_moved_is_refused_with_the_new_figures() {
    let app = TestApp::start().await;
    let flight = add(&app, "standard").await;
    let id = paid(&app, flight, 1).await;
    let seen = quote(&app, id, "").await["refund"].clone();
    app.clock.advance(TimeDelta::days(13));
    let refused = cancel(&app, id, json!({"expected_refund": seen})).await;
    refused.assert_problem(409, "refund_changed");
    assert_eq!((&refused.json["refund"], &refused.json["fee"]), (&json!(1400.0), &json!(1100.0)));
    assert_eq!(app.booking(id).await["status"], "completed");
    let now = refused.json["refund"].clone();
    let confirmed = cancel(&app, id, json!({"expected_refund": now})).await;
    assert_eq!(confirmed.json["refunds"][0]["amount"], now);
    app.finish().await;
}

#[tokio::test]
async fn what_was_sold_keeps_its_version_of_the_rules() {
    let app = TestApp::start().await;
    let rules = |percent: i32| json!({"rules": [{"fee_percent": percent, "fee_fixed": 10}]});
    let made = app.put(&path("mine"), &rules(10)).await;
    assert_eq!((made.status.as_u16(), &made.json["version"]), (201, &json!(1)));
    let flight = add(&app, "mine").await;
    let old = paid(&app, flight, 1).await;
    app.clock.advance(TimeDelta::seconds(1));
    let changed = app.put(&path("mine"), &rules(90)).await;
    assert_eq!((changed.status.as_u16(), &changed.json["version"]), (200, &json!(2)));
    let again = app.put(&path("mine"), &rules(90)).await;
    assert_eq!((again.status.as_u16(), &again.json["version"]), (200, &json!(2)), "as it was");
    app.clock.advance(TimeDelta::seconds(1));
    let new = paid(&app, flight, 1).await;
    assert_eq!(quote(&app, old, "").await["fee"], 230.0);
    assert_eq!(quote(&app, new, "").await["fee"], 1990.0);
    // A flight that gets other rules leaves its bookings alone.
    let put = app.put(&format!("/api/v1/flights/{flight}"), &json!({"fare_rules": "free"})).await;
    assert_eq!(put.json["flight"]["fare_rules"], "free", "{put:?}");
    assert_eq!(app.booking(old).await["fare_rules"], "mine");
    assert_eq!(quote(&app, old, "").await["rule"], "mine/1");
    app.finish().await;
}

#[tokio::test]
async fn rules_are_read_and_bad_ones_are_refused_field_by_field() {
    let app = TestApp::start().await;
    for name in ["free", "flexible", "standard", "in-2026"] {
        let read = app.get(&path(name)).await;
        assert_eq!((read.status.as_u16(), &read.json["version"]), (200, &json!(1)), "{name}");
        let back = app.put(&path(name), &json!({"rules": read.json["rules"]})).await;
        assert_eq!((back.status.as_u16(), &back.json), (200, &read.json), "as they were");
    }
    let better = app.put(&path("free"), &json!({"rules": []})).await;
    assert_eq!((better.status.as_u16(), &better.json["version"]), (200, &json!(2)));
    app.get(&path("none")).await.assert_problem(404, "not_found");
    app.get(&path("Not%20a%20name")).await.assert_problem(404, "not_found");
    let bad = json!({"rules": [
        {"fee_percent": 101, "fee_fixed": "1.005"}, {"departs_in": "soon", "fee_percent": 1}, {"fee": 1}
    ]});
    let refused = app.put(&path("mine"), &bad).await;
    refused.assert_problem(422, "validation_failed");
    let pointers = refused.pointers();
    for pointer in
        ["/rules/0/fee_percent", "/rules/0/fee_fixed", "/rules/1/departs_in", "/rules/1/fee_fixed"]
    {
        assert!(pointers.contains(&pointer), "{pointer}: {refused:?}");
    }
    app.put(&path("mine"), &json!({})).await.assert_problem(422, "validation_failed");
    app.get(&path("mine")).await.assert_problem(404, "not_found");
    let mut body = flight(9);
    body["fare_rules"] = json!("mine");
    let unknown = app.post("/api/v1/flights", &body).await;
    unknown.assert_problem(422, "validation_failed");
    assert_eq!(unknown.pointers(), ["/fare_rules"]);
    let id = app.add_flight(9).await;
    let put = app.put(&format!("/api/v1/flights/{id}"), &json!({"fare_rules": "mine"})).await;
    assert_eq!(put.pointers(), ["/fare_rules"], "{put:?}");
    app.finish().await;
}

#[tokio::test]
async fn an_itinerary_is_quoted_by_the_rules_of_each_of_its_flights() {
    let app = TestApp::start().await;
    let mut flights = Vec::new();
    for (at, rules) in ["standard", "free", "flexible"].into_iter().enumerate() {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at));
        body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at + 1));
        (body["taxes"], body["fare_rules"]) = (json!(300), json!(rules));
        flights.push(json!({"flight_id": app.post("/api/v1/flights", &body).await.json["id"]}));
    }
    let mut order = booking(1, 2);
    order.as_object_mut().expect("an object").remove("flight_id");
    order["segments"] = json!(flights);
    let id = app.post("/api/v1/itineraries", &order).await.json["itinerary_id"].clone();
    app.run_until_idle().await;
    let path = format!("/api/v1/itineraries/{id}");
    let whole = app.get(&format!("{path}/cancellation")).await.json;
    let rules = "standard/1, free/1, flexible/1";
    assert_eq!(whole, quoted(13_460.0, 1540.0, 1800.0, 15_000.0, rules));
    let part = app.get(&format!("{path}/cancellation?segments=1,2&passengers=1")).await.json;
    assert_eq!(part, quoted(4450.0, 550.0, 600.0, 5000.0, "standard/1, free/1"));
    let body = json!({"segments": [1, 2], "passengers": [1], "expected_refund": 4450});
    let cancelled = app.post(&format!("{path}/cancel"), &body).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    for (query, pointer) in [
        ("segments=4", "/segments/0"),
        ("passengers=2", "/passengers/0"),
        ("segments=1,1", "/segments/1"),
    ] {
        let refused = app.get(&format!("{path}/cancellation?{query}")).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    app.get(&format!("{path}/cancellation?segments=x"))
        .await
        .assert_problem(400, "malformed_request");
    app.get(&format!("{path}/cancellation?seats=1")).await.assert_problem(400, "malformed_request");
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_paid_costs_nothing_to_cancel() {
    let app = TestApp::start().await;
    let flight = add(&app, "standard").await;
    let mut later = booking(flight, 1);
    later["payment"] = json!("later");
    let id = app.post("/api/v1/bookings", &later).await.booking_id();
    assert_eq!(quote(&app, id, "").await, quoted(0.0, 0.0, 0.0, 0.0, "unpaid"));
    cancel(&app, id, json!({"expected_refund": 1})).await.assert_problem(409, "refund_changed");
    let cancelled = cancel(&app, id, json!({"expected_refund": 0})).await;
    assert_eq!(cancelled.json["status"], "cancelled", "{cancelled:?}");
    let failed = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{failed}/cancellation");
    app.get(&path).await.assert_problem(409, "booking_not_cancellable");
    app.get("/api/v1/bookings/99/cancellation").await.assert_problem(404, "not_found");
    app.finish().await;
}
