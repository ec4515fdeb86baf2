//! Changes of flight over HTTP.

mod contended;

use crate::support::{Answer, TestApp, booking, eventually, flight};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

/// A flight of 9 seats on the route of all tests, `at` hours after the first, for this price.
async fn add(app: &TestApp, at: u32, price: f64) -> i64 {
    let mut body = flight(9);
    body["timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at));
    body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 3 * at + 1));
    body["price"] = json!(price);
    body["taxes"] = json!(100);
    let created = app.post("/api/v1/flights", &body).await;
    created.json["id"].as_i64().unwrap_or_else(|| panic!("{created:?}"))
}

async fn paid(app: &TestApp, flight: i64, seats: i32) -> i64 {
    let id = app.book(flight, seats).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["status"], "completed");
    id
}

async fn change(app: &TestApp, id: i64, body: Value) -> Answer {
    app.post(&format!("/api/v1/bookings/{id}/change"), &body).await
}

/// The payer approves the payment of the change.
async fn approve(app: &TestApp, id: i64) {
    let page = eventually("a payer who is asked", async || {
        let shown = app.booking(id).await["change"].clone();
        shown["payment"]["next_action"]["url"].as_str().map(str::to_owned).ok_or(shown)
    })
    .await;
    let post = Request::post(&page).header("content-type", "application/x-www-form-urlencoded");
    let acted = app.send(post.body(Body::from("verdict=approved")).expect("a request")).await;
    assert_eq!(acted.status, 303, "{acted:?}");
    app.run_until_idle().await;
}

async fn seats(app: &TestApp, flight: i64) -> (i64, i64) {
    let flight = app.flight(flight).await;
    let number = |name: &str| flight[name].as_i64().expect("a number");
    (number("available_seats"), number("held_seats"))
}

#[tokio::test]
async fn a_cheaper_flight_is_swapped_at_once_and_what_is_over_comes_back() {
    let app = TestApp::start().await;
    let (from, to) = (add(&app, 1, 2500.0).await, add(&app, 2, 2000.0).await);
    let id = paid(&app, from, 2).await;
    let seen = change(&app, id, json!({"flight_id": to, "expected_difference": 5})).await;
    seen.assert_problem(409, "difference_changed");
    assert_eq!(seen.json["difference"], -1000.0);
    let expected = seen.json["difference"].clone();
    let moved = change(&app, id, json!({"flight_id": to, "expected_difference": expected})).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let shown = &moved.json;
    assert_eq!((&shown["flight_id"], &shown["booking_price"]), (&json!(to), &json!(4000.0)));
    assert_eq!(shown["refunds"][0]["reason"], "change");
    assert_eq!(shown["refunds"][0]["amount"], 1000.0);
    assert!(shown.get("change").is_none());
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((9, 0), (7, 0)));
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["refunds"][0]["status"], "done");
    // Cancelled by the flight that it has now.
    let cancelled = app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    let refunds = cancelled.json["refunds"].as_array().expect("refunds");
    let of_traveller = refunds.iter().find(|refund| refund["reason"] == "traveller");
    assert_eq!(of_traveller.expect("a refund")["amount"], 4000.0, "{cancelled:?}");
    assert_eq!(seats(&app, to).await, (9, 0));
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn a_dearer_flight_is_held_until_the_difference_is_paid() {
    let app = TestApp::start().await;
    let (from, to) = (add(&app, 1, 2500.0).await, add(&app, 2, 3000.0).await);
    let id = paid(&app, from, 2).await;
    let body =
        json!({"flight_id": to, "expected_difference": 1000, "payment_method": "pm_card_3ds"});
    let asked = change(&app, id, body).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let pending = &asked.json["change"];
    assert_eq!((&pending["flight_id"], &pending["difference"]), (&json!(to), &json!(1000.0)));
    assert_eq!(pending["payment"]["status"], "processing");
    assert_eq!(
        (&asked.json["flight_id"], &asked.json["status"]),
        (&json!(from), &json!("completed"))
    );
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((7, 0), (9, 2)));
    assert_eq!(app.booking(id).await["change"]["difference"], 1000.0);
    change(&app, id, json!({"flight_id": to})).await.assert_problem(409, "change_pending");
    let part =
        app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({"passengers": [0]})).await;
    part.assert_problem(409, "change_pending");
    let list = app.get("/api/v1/users/123/bookings").await;
    assert_eq!(list.json["count"], 1, "{list:?}");
    app.get(&format!("/api/v1/bookings/{}", id + 1)).await.assert_problem(404, "not_found");
    approve(&app, id).await;
    let moved = app.booking(id).await;
    assert_eq!((&moved["flight_id"], &moved["booking_price"]), (&json!(to), &json!(6000.0)));
    assert!(moved.get("change").is_none(), "{moved}");
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((9, 0), (7, 0)));
    // What it paid comes back from both payments.
    let cancelled = app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    let refunds = cancelled.json["refunds"].as_array().expect("refunds").clone();
    let mut amounts: Vec<_> = refunds.iter().map(|it| it["amount"].as_f64()).collect();
    amounts.sort_by(|one, other| one.partial_cmp(other).expect("numbers"));
    assert_eq!(amounts, [Some(1000.0), Some(5000.0)]);
    app.run_until_idle().await;
    let done = app.booking(id).await;
    assert!(done["refunds"].as_array().expect("refunds").iter().all(|it| it["status"] == "done"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_wait_for_the_payment_and_a_decline_leaves_the_booking() {
    let app = TestApp::start().await;
    let (from, to) = (add(&app, 1, 2500.0).await, add(&app, 2, 3000.0).await);
    let id = paid(&app, from, 1).await;
    let path = format!("/api/v1/bookings/{id}/change");
    let declined = json!({"flight_id": to, "payment_method": "pm_card_declined"});
    let wait = [("prefer", "wait=30")];
    let refused = app.send_json_with(Method::POST, &path, &declined, &wait).await;
    assert_eq!((refused.status.as_u16(), &refused.json["flight_id"]), (200, &json!(from)));
    assert_eq!(refused.headers["preference-applied"], "wait=30");
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((8, 0), (9, 0)));
    let payer = json!({"flight_id": to, "payment_method": "pm_card_3ds"});
    let asks = app.send_json_with(Method::POST, &path, &payer, &wait).await;
    assert_eq!(asks.status, 202, "{asks:?}");
    assert_eq!(asks.json["change"]["payment"]["status"], "action_required");
    assert!(asks.json["change"]["payment"]["next_action"]["url"].is_string(), "{asks:?}");
    // Nobody acts, so the hold lapses.
    app.pass(Duration::from_secs(3_600)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["flight_id"], from);
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((8, 0), (9, 0)));
    let moved = app.send_json_with(Method::POST, &path, &json!({"flight_id": to}), &wait).await;
    assert_eq!((moved.status.as_u16(), &moved.json["flight_id"]), (200, &json!(to)), "{moved:?}");
    app.finish().await;
}

#[tokio::test]
async fn a_whole_cancellation_ends_the_change_with_the_booking() {
    let app = TestApp::start().await;
    let (from, to) = (add(&app, 1, 2500.0).await, add(&app, 2, 3000.0).await);
    let id = paid(&app, from, 2).await;
    let body = json!({"flight_id": to, "payment_method": "pm_card_3ds"});
    assert_eq!(change(&app, id, body).await.status, 202);
    let cancelled = app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json["status"]), (200, &json!("cancelled")));
    assert_eq!((seats(&app, from).await, seats(&app, to).await), ((9, 0), (9, 0)));
    app.run_until_idle().await;
    let refunds = app.booking(id).await["refunds"].clone();
    assert_eq!(refunds[0]["amount"], 5000.0, "{refunds}");
    app.finish().await;
}

#[tokio::test]
async fn the_change_of_a_segment_keeps_the_itinerarys_connections() {
    let app = TestApp::start().await;
    let mut flights = Vec::new();
    for (at, price) in [(0, 2500.0), (3, 2500.0), (1, 2000.0), (4, 2000.0), (2, 2600.0)] {
        flights.push(add(&app, at, price).await);
    }
    let order = app.order(&flights[..2], 2, "pm_card_visa").await;
    app.run_until_idle().await;
    let id = order.first().id.0;
    let late = change(&app, id, json!({"flight_id": flights[3]})).await;
    late.assert_problem(422, "validation_failed");
    assert_eq!(late.pointers(), ["/flight_id"]);
    let moved = change(&app, id, json!({"flight_id": flights[2]})).await;
    assert_eq!((moved.status.as_u16(), &moved.json["flight_id"]), (200, &json!(flights[2])));
    let body = json!({"flight_id": flights[4], "payment_method": "pm_card_3ds"});
    let dearer = change(&app, id, body).await;
    assert_eq!(dearer.status, 202, "{dearer:?}");
    let segment = app.post(&format!("/api/v1/bookings/{}/cancel", id + 1), &json!({})).await;
    segment.assert_problem(409, "change_pending");
    approve(&app, id).await;
    assert_eq!(app.booking(id).await["flight_id"], flights[4]);
    let path = format!("/api/v1/itineraries/{id}");
    let itinerary = app.get(&path).await.json;
    assert_eq!(itinerary["bookings"][0]["flight_id"], flights[4], "{itinerary}");
    assert_eq!(itinerary["bookings"].as_array().map(Vec::len), Some(2));
    let cancelled = app.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json["status"], "cancelled", "{cancelled:?}");
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn a_key_makes_one_change_and_wrong_requests_are_refused() {
    let app = TestApp::start().await;
    let (from, to) = (add(&app, 1, 2500.0).await, add(&app, 2, 2000.0).await);
    let id = paid(&app, from, 1).await;
    let path = format!("/api/v1/bookings/{id}/change");
    let (key, body) = ([("idempotency-key", "move-1")], json!({"flight_id": to}));
    let first = app.send_json_with(Method::POST, &path, &body, &key).await;
    let again = app.send_json_with(Method::POST, &path, &body, &key).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200), "{again:?}");
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.json["refunds"].as_array().map(Vec::len), Some(1));
    let other = app.send_json_with(Method::POST, &path, &json!({"flight_id": from}), &key).await;
    other.assert_problem(422, "idempotency_key_reused");
    change(&app, id, json!({})).await.assert_problem(422, "validation_failed");
    change(&app, id, json!({"flight_id": 99})).await.assert_problem(404, "not_found");
    change(&app, 99, json!({"flight_id": to})).await.assert_problem(404, "not_found");
    let mut later = booking(from, 1);
    later["payment"] = json!("later");
    let pending = app.post("/api/v1/bookings", &later).await.booking_id();
    let early = change(&app, pending, json!({"flight_id": to})).await;
    early.assert_problem(409, "booking_not_changeable");
    app.book(from, 8).await;
    let full = change(&app, id, json!({"flight_id": from})).await;
    full.assert_problem(409, "insufficient_seats");
    app.run_until_idle().await;
    app.finish().await;
}
