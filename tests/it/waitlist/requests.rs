//! Requests: what is refused, repeated, found.

use super::party;
use crate::support::TestApp;
use http::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_only_where_seats_are_lacking_and_once() {
    let app = TestApp::start().await;
    let flight = app.add_flight(3).await;
    app.wait_as(flight, &party(7, 2)).await.assert_problem(409, "seats_available");
    assert_eq!(app.book(flight, 2).await.status, 201);
    let id = app.join(flight, 7, 2).await;
    let again = app.wait_as(flight, &party(7, 3)).await;
    again.assert_problem(409, "already_waiting");
    app.wait_as(flight, &party(8, 1)).await.assert_problem(409, "seats_available");
    app.wait_as(99, &party(8, 1)).await.assert_problem(404, "not_found");
    app.answer(id, "accept", &json!({})).await.assert_problem(409, "no_offer");
    app.answer(id, "decline", &json!({})).await.assert_problem(409, "no_offer");
    assert_eq!(app.get("/api/v1/waitlist/77").await.status, 404);
    assert_eq!(app.leave(id).await.status, 200);
    app.join(flight, 7, 2).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terms_of_a_party_are_checked() {
    let app = TestApp::start().await;
    let (flight, _) = app.sold_out(1).await;
    for (field, value) in [
        ("mode", json!("auto")),
        ("mode", json!("maybe")),
        ("payment_method", json!("pm_card_visa")),
        ("max_price", json!(-1)),
        ("max_price", json!(1.001)),
        ("until", json!("tomorrow")),
        ("until", json!("2024-12-31T00:00:00Z")),
        ("seats_booked", json!(0)),
        ("user_id", Value::Null),
    ] {
        let mut body = party(7, 1);
        body[field] = value;
        app.wait_as(flight, &body).await.assert_problem(422, "validation_failed");
    }
    app.wait_as(flight, &party(7, 2)).await.assert_problem(422, "validation_failed");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_entry_and_one_payment() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(1).await;
    let path = format!("/api/v1/flights/{flight}/waitlist");
    let key = [("idempotency-key", "wait-1")];
    let first = app.send_json_with(Method::POST, &path, &party(7, 1), &key).await;
    let id = first.json["waitlist_id"].as_i64().expect("an id");
    assert_eq!(first.headers["location"], format!("/api/v1/waitlist/{id}"));
    let repeat = app.send_json_with(Method::POST, &path, &party(7, 1), &key).await;
    assert_eq!((repeat.status.as_u16(), &repeat.json["waitlist_id"]), (201, &json!(id)));
    assert_eq!(repeat.headers["idempotent-replayed"], "true");
    let mut other = party(7, 1);
    other["max_price"] = json!(9000);
    let reused = app.send_json_with(Method::POST, &path, &other, &key).await;
    reused.assert_problem(422, "idempotency_key_reused");

    app.give_up(sold[0]).await;
    app.until_entry_is(id, "offered").await;
    let path = format!("/api/v1/waitlist/{id}/accept");
    let headers = [("idempotency-key", "accept-1"), ("prefer", "wait=30")];
    for _ in 0..2 {
        let accepted = app.send_json_with(Method::POST, &path, &json!({}), &headers).await;
        assert_eq!((accepted.status.as_u16(), &accepted.json["status"]), (200, &json!("promoted")));
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_out_flight_is_found_if_asked_for_and_marked() {
    let app = TestApp::start().await;
    let (flight, _) = app.sold_out(1).await;
    let open = app.add_flight(3).await;
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let found = app.get(path).await.json;
    assert_eq!((&found["count"], &found["flights"][0]["id"]), (&json!(1), &json!(open)));
    let all = app.get(&format!("{path}&include_sold_out=true&sort=price")).await.json;
    let marks = |all: &Value| -> Vec<(Value, Value)> {
        let flights = all["flights"].as_array().expect("a list");
        flights.iter().map(|f| (f["id"].clone(), f["waitlist"].clone())).collect()
    };
    assert_eq!(marks(&all), [(json!(flight), json!(true)), (json!(open), Value::Null)]);
    let of_four = app.get(&format!("{path}&include_sold_out=true&seats=4")).await.json;
    assert_eq!(marks(&of_four), [(json!(flight), json!(true)), (json!(open), json!(true))]);
    assert_eq!(app.get(&format!("{path}&include_sold_out=maybe")).await.status, 400);
    app.finish().await;
}
