//! Passengers are corrected free of charge, until departure, with a history; what happened to a booking and a flight.

mod disruption;
mod erased;
mod may;
mod races;
mod timeline;

use crate::support::{Answer, TestApp};
use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};

fn path(booking: i64, place: i64) -> String {
    format!("/api/v1/bookings/{booking}/passengers/{place}")
}

async fn mend(app: &TestApp, booking: i64, place: i64, body: &Value) -> Answer {
    app.send_json(Method::PATCH, &path(booking, place), body).await
}

/// A paid booking on a flight of its own.
async fn paid(app: &TestApp, seats: i32) -> (i64, i64) {
    let flight = app.add_flight(9).await;
    let id = app.book(flight, seats).await.booking_id();
    app.run_until_idle().await;
    (flight, id)
}

async fn cancel(app: &TestApp, booking: i64, body: Value) -> Answer {
    app.post(&format!("/api/v1/bookings/{booking}/cancel"), &body).await
}

#[tokio::test]
async fn a_passenger_is_corrected_field_by_field_and_the_others_stay() {
    let app = TestApp::start().await;
    let (flight, id) = paid(&app, 2).await;
    let before = app.booking(id).await;
    let seats = app.flight(flight).await["available_seats"].clone();
    let body = json!({"email": "new@example.com", "phone": "+91 (22) 5550-1"});
    let mended = mend(&app, id, 1, &body).await;
    assert_eq!(mended.status, 200, "{mended:?}");
    let shown = &mended.json["booking_metadata"];
    assert_eq!(shown[0], before["booking_metadata"][0]);
    let mut expected = before["booking_metadata"][1].clone();
    (expected["email"], expected["phone"]) = (body["email"].clone(), body["phone"].clone());
    assert_eq!(shown[1], expected);
    for field in ["booking_price", "status", "refunds", "payment", "fee"] {
        assert_eq!(mended.json[field], before[field], "{field}");
    }
    assert_eq!(app.flight(flight).await["available_seats"], seats);
    let named = mend(&app, id, 1, &json!({"name": "Łukasz \"O'Neil\" $[0]"})).await;
    assert_eq!(named.json["booking_metadata"][1]["name"], "Łukasz \"O'Neil\" $[0]");
    assert_eq!(named.json["booking_metadata"][1]["email"], "new@example.com");
    assert_eq!(app.booking(id).await, named.json);
    app.finish().await;
}

#[tokio::test]
async fn what_a_new_passenger_may_not_have_a_corrected_one_may_not_have_either() {
    let app = TestApp::start().await;
    let (_, id) = paid(&app, 1).await;
    let before = app.booking(id).await;
    let table = [
        (json!({}), vec![""]),
        (json!({"name": ""}), vec!["/name"]),
        (json!({"name": null}), vec!["/name"]),
        (json!({"email": "nowhere"}), vec!["/email"]),
        (json!({"phone": "x", "email": 7}), vec!["/email", "/phone"]),
        (json!({"age": 31, "name": "A"}), vec!["/age"]),
    ];
    for (body, pointers) in table {
        let refused = mend(&app, id, 0, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body}");
    }
    for place in [1, -1, 65_536, i64::MAX] {
        mend(&app, id, place, &json!({"name": "A"})).await.assert_problem(404, "not_found");
    }
    mend(&app, id + 1, 0, &json!({"name": "A"})).await.assert_problem(404, "not_found");
    let odd = app.send_json(Method::PATCH, &format!("{}x", path(id, 0)), &json!({})).await;
    odd.assert_problem(400, "malformed_request");
    assert_eq!(app.booking(id).await, before);
    app.finish().await;
}

#[tokio::test]
async fn who_does_not_travel_any_more_is_not_corrected() {
    let app = TestApp::start().await;
    let body = json!({"name": "A"});
    let refused = async |id: i64, place: i64| {
        mend(&app, id, place, &body).await.assert_problem(409, "passenger_not_changeable");
    };
    let (_, partly) = paid(&app, 2).await;
    cancel(&app, partly, json!({"passengers": [0]})).await;
    refused(partly, 0).await;
    assert_eq!(mend(&app, partly, 1, &body).await.status, 200, "the other travels");
    let (_, cancelled) = paid(&app, 1).await;
    cancel(&app, cancelled, json!({})).await;
    refused(cancelled, 0).await;
    let flight = app.add_flight(9).await;
    let failed = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    refused(failed, 0).await;
    let (_, flown) = paid(&app, 1).await;
    app.clock.advance(TimeDelta::days(30));
    refused(flown, 0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_held_booking_is_corrected_and_completes_with_the_correction() {
    let app = TestApp::start().await;
    app.gateway.close();
    let flight = app.add_flight(9).await;
    let id = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let mended = mend(&app, id, 0, &json!({"name": "Someone Else"})).await;
    assert_eq!((mended.status.as_u16(), &mended.json["status"]), (200, &json!("pending")));
    app.gateway.open();
    app.run_until_idle().await;
    let shown = app.booking(id).await;
    assert_eq!(shown["status"], "completed", "{shown}");
    assert_eq!(shown["booking_metadata"][0]["name"], "Someone Else");
    app.finish().await;
}

#[tokio::test]
async fn a_correction_repeated_with_its_key_is_made_once() {
    let app = TestApp::start().await;
    let (_, id) = paid(&app, 1).await;
    let send = async |body: Value, key: &str| {
        let headers = [("idempotency-key", key)];
        app.send_json_with(Method::PATCH, &path(id, 0), &body, &headers).await
    };
    let first = send(json!({"name": "One"}), "correct-7").await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (200, None));
    assert_eq!(mend(&app, id, 0, &json!({"name": "Two"})).await.status, 200);
    let again = send(json!({"name": "One"}), "correct-7").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json["booking_metadata"][0]["name"], "Two", "it is not made again");
    let other = send(json!({"name": "Three"}), "correct-7").await;
    other.assert_problem(422, "idempotency_key_reused");
    let events = timeline::of(&app, id).await;
    let changes = events.iter().filter(|event| event["type"] == "passenger.changed");
    assert_eq!(changes.count(), 2);
    app.finish().await;
}
