//! Seats are held first and paid later: attempts, declines, extensions, lapses.

use crate::support::{Answer, TestApp, booking, eventually};
use airline_booking::gateway::sandbox::{Sandbox as _, Verdict};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

/// `PAYMENT_WINDOW`, and a minute more.
const AFTER_THE_WINDOW: Duration = Duration::from_secs(16 * 60);

impl TestApp {
    /// Holds seats to be paid later; gives the booking's id.
    async fn hold(&self, flight: i64, seats: i32) -> i64 {
        let mut body = booking(flight, seats);
        body["payment"] = json!("later");
        let held = self.post("/api/v1/bookings", &body).await;
        assert_eq!(
            (held.status.as_u16(), &held.json["status"]),
            (201, &json!("pending")),
            "{held:?}"
        );
        assert_eq!(held.json["payment_status"], "awaiting_payment");
        assert_eq!(held.json["pay_by"], held.json["hold_expires_at"]);
        held.json["booking_id"].as_i64().expect("an id")
    }

    /// Pays and waits for the outcome.
    async fn pay(&self, booking: i64, method: &str) -> Answer {
        self.pay_with(booking, method, &[("prefer", "wait=30")]).await
    }

    async fn pay_with(&self, booking: i64, method: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/api/v1/bookings/{booking}/payment");
        let body = json!({"payment_method": method});
        self.send_json_with(Method::POST, &path, &body, headers).await
    }
}

fn payment(answer: &Answer) -> &Value {
    &answer.json["payment"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_booking_is_completed_by_its_payment_and_asks_for_no_money_before() {
    let app = TestApp::start().await;
    let flight = app.add_flight(10).await;
    let id = app.hold(flight, 2).await;
    app.run_until_idle().await;
    let held = app.booking(id).await;
    assert_eq!(held["payment"], json!({"status": "awaiting_payment", "attempts": 0}));
    assert_eq!(app.flight(flight).await["held_seats"], 2);

    let paid = app.pay(id, "pm_card_visa").await;
    assert_eq!(paid.status, 200, "{paid:?}");
    assert_eq!(paid.headers["preference-applied"], "wait=30");
    let captured = json!({"status": "captured", "attempts": 1, "method": "pm_card_visa"});
    assert_eq!((&paid.json["status"], payment(&paid)), (&json!("completed"), &captured));
    let flight = app.flight(flight).await;
    assert_eq!((&flight["available_seats"], &flight["held_seats"]), (&json!(8), &json!(0)));
    app.pay(id, "pm_card_visa").await.assert_problem(409, "payment_not_due");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_leaves_the_hold_and_a_second_card_pays() {
    let app = TestApp::start().await;
    let flight = app.add_flight(10).await;
    let id = app.hold(flight, 2).await;
    let declined = app.pay(id, "pm_card_declined").await;
    assert_eq!((declined.status.as_u16(), &declined.json["status"]), (200, &json!("pending")));
    let first = json!({"status": "declined", "attempts": 1, "method": "pm_card_declined"});
    assert_eq!(payment(&declined), &first);
    assert_eq!(app.flight(flight).await["held_seats"], 2);

    let paid = app.pay(id, "pm_card_visa").await;
    let second = json!({"status": "captured", "attempts": 2, "method": "pm_card_visa"});
    assert_eq!((&paid.json["status"], payment(&paid)), (&json!("completed"), &second));
    // The booking keeps the number that it was answered with.
    assert_eq!(paid.json["payment_reference_id"], declined.json["payment_reference_id"]);
    // Its money goes back from the attempt that took it.
    let cancelled = app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json["status"], "cancelled");
    eventually("a refund", async || {
        let status = app.booking(id).await["refunds"][0]["status"].clone();
        if status == "done" { Ok(()) } else { Err(status) }
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_declined_payments_no_further_one_is_taken() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(3).await, 1).await;
    for attempt in 1..=5 {
        let declined = app.pay(id, "pm_card_declined").await;
        assert_eq!(payment(&declined)["attempts"], attempt);
    }
    app.pay(id, "pm_card_visa").await.assert_problem(409, "too_many_attempts");
    app.pass(AFTER_THE_WINDOW).await;
    let ended = app.booking(id).await;
    assert_eq!(
        (&ended["status"], &ended["failure_reason"]),
        (&json!("failed"), &json!("hold_expired"))
    );
    assert_eq!(ended["payment"]["status"], "reversed");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_hold_lapses_without_a_call_to_the_gateway() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let (lapsed, cancelled) = (app.hold(flight, 2).await, app.hold(flight, 1).await);
    // A call that was made would wait at the gate.
    app.gateway.close();
    app.post(&format!("/api/v1/bookings/{cancelled}/cancel"), &json!({})).await;
    app.pass(AFTER_THE_WINDOW).await;
    app.run_until_idle().await;
    assert_eq!(app.gateway.held_back(), 0);
    for (id, status) in [(lapsed, "failed"), (cancelled, "cancelled")] {
        let ended = app.booking(id).await;
        assert_eq!(
            (&ended["status"], &ended["payment"]["status"]),
            (&json!(status), &json!("reversed"))
        );
    }
    assert_eq!(app.flight(flight).await["held_seats"], 0);
    app.pay(lapsed, "pm_card_visa").await.assert_problem(409, "payment_not_due");
    app.gateway.open();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_after_the_hold_goes_back() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(5).await, 2).await;
    app.gateway.close();
    let begun = app.pay_with(id, "pm_card_visa", &[]).await;
    assert_eq!((begun.status.as_u16(), &payment(&begun)["status"]), (202, &json!("processing")));
    eventually("a call at the gate", async || {
        let calls = app.gateway.held_back();
        if calls == 1 { Ok(()) } else { Err(calls) }
    })
    .await;
    app.pass(AFTER_THE_WINDOW).await;
    app.pay_with(id, "pm_card_visa", &[]).await.assert_problem(409, "payment_not_due");
    app.gateway.open();
    app.run_until_idle().await;
    let ended = app.booking(id).await;
    assert_eq!(
        (&ended["status"], &ended["payment"]["status"]),
        (&json!("failed"), &json!("reversed"))
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_extended_once() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(5).await, 2).await;
    let first = app.booking(id).await["hold_expires_at"].clone();
    app.pass(Duration::from_secs(14 * 60)).await;
    let path = format!("/api/v1/bookings/{id}/extend");
    let extended =
        app.send_json_with(Method::POST, &path, &json!({}), &[("idempotency-key", "e")]).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    let second = extended.json["hold_expires_at"].clone();
    assert!(second.as_str() > first.as_str(), "{second} is not after {first}");
    let again =
        app.send_json_with(Method::POST, &path, &json!({}), &[("idempotency-key", "e")]).await;
    assert_eq!(
        (again.status.as_u16(), &again.headers["idempotent-replayed"]),
        (200, &"true".parse().expect("text"))
    );
    app.post(&path, &json!({})).await.assert_problem(409, "not_extendable");
    // Beyond the first end, within the second.
    app.pass(Duration::from_secs(14 * 60)).await;
    let paid = app.pay(id, "pm_card_visa").await;
    assert_eq!(paid.json["status"], "completed");
    app.post(&path, &json!({})).await.assert_problem(409, "not_extendable");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_hold_lapses_at_its_second_end() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let id = app.hold(flight, 2).await;
    app.pass(Duration::from_secs(10 * 60)).await;
    app.post(&format!("/api/v1/bookings/{id}/extend"), &json!({})).await;
    app.pass(Duration::from_secs(10 * 60)).await;
    assert_eq!(app.booking(id).await["status"], "pending");
    app.pass(Duration::from_secs(6 * 60)).await;
    assert_eq!(app.booking(id).await["status"], "failed");
    let paid_at_once = app.book(flight, 1).await.json["booking_id"].as_i64().expect("an id");
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{paid_at_once}/extend");
    app.post(&path, &json!({})).await.assert_problem(409, "not_extendable");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cards_at_the_same_moment_one_is_charged() {
    let app = TestApp::start().await;
    let flight = app.add_flight(500).await;
    for round in 0..500 {
        let id = app.hold(flight, 1).await;
        let (one, other) = tokio::join!(app.pay(id, "pm_card_visa"), app.pay(id, "pm_card_visa"));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}: {one:?} {other:?}");
        let refused = if one.status == 409 { one } else { other };
        let code = refused.json["code"].as_str().expect("a code");
        assert!(["payment_in_progress", "payment_not_due"].contains(&code), "{code}");
        assert_eq!(app.booking(id).await["payment"]["attempts"], 1);
    }
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_payment_with_its_key_is_taken_once() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(5).await, 1).await;
    let key = [("idempotency-key", "pay-7"), ("prefer", "wait=30")];
    let first = app.pay_with(id, "pm_card_declined", &key).await;
    let second = app.pay_with(id, "pm_card_declined", &key).await;
    assert_eq!((second.status, &second.json), (first.status, &first.json));
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(payment(&second)["attempts"], 1);
    let other = app.pay_with(id, "pm_card_visa", &key).await;
    other.assert_problem(422, "idempotency_key_reused");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_itinerary_is_paid_later_as_a_whole() {
    let app = TestApp::start().await;
    let flights = app.add_row_of_flights::<2>(5).await;
    let passengers = &booking(1, 1)["passenger_details"];
    let body = json!({
        "user_id": 7, "segments": [{"flight_id": flights[0]}, {"flight_id": flights[1]}],
        "seats_booked": 1, "passenger_details": passengers, "payment": "later"
    });
    let held = app.post("/api/v1/itineraries", &body).await;
    assert_eq!(
        held.json["payment"],
        json!({"status": "awaiting_payment", "attempts": 0}),
        "{held:?}"
    );
    let id = held.json["itinerary_id"].as_i64().expect("an id");
    let path = format!("/api/v1/itineraries/{id}/payment");
    let wait = [("prefer", "wait=30")];
    let declined = json!({"payment_method": "pm_card_declined"});
    let declined = app.send_json_with(Method::POST, &path, &declined, &wait).await;
    assert_eq!((declined.status.as_u16(), &declined.json["status"]), (200, &json!("pending")));
    let paid = app.send_json_with(Method::POST, &path, &json!({}), &wait).await;
    assert_eq!(
        (&paid.json["status"], &paid.json["payment"]["attempts"]),
        (&json!("completed"), &json!(2))
    );
    for segment in [0, 1] {
        assert_eq!(paid.json["bookings"][segment]["status"], "completed");
    }
    // A part of it is refunded from the second attempt.
    let cancelled =
        app.post(&format!("/api/v1/itineraries/{id}/cancel"), &json!({"segments": [2]})).await;
    assert_eq!(cancelled.json["refunds"].as_array().map(Vec::len), Some(1), "{cancelled:?}");
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_payment_is_refused_with_every_bad_field_named_and_nothing_changes() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let id = app.hold(flight, 1).await;
    let path = format!("/api/v1/bookings/{id}/payment");
    for (body, pointers) in [
        (json!({"payment_method": "pm card"}), &["/payment_method"][..]),
        (json!({"payment_method": "adopted"}), &["/payment_method"]),
        (json!({"payment_method": "unchosen"}), &["/payment_method"]),
        (json!({"payment_method": 7, "return_url": []}), &["/payment_method", "/return_url"]),
        (json!({"return_url": "https://evil.example/"}), &["/return_url"]),
        (json!({"return_url": "//evil.example/"}), &["/return_url"]),
        (json!({"method": "pm_card_visa"}), &["/method"]),
    ] {
        let refused = app.post(&path, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body}");
    }
    let later = |field: &str, value: Value| {
        let mut body = booking(flight, 1);
        body["payment"] = json!("later");
        body[field] = value;
        body
    };
    for (body, pointer) in [
        (later("payment_method", json!("pm_card_visa")), "/payment_method"),
        (later("payment", json!("soon")), "/payment"),
    ] {
        let refused = app.post("/api/v1/bookings", &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
    let at_once = app.book(flight, 1).await.json["booking_id"].as_i64().expect("an id");
    app.pay(at_once, "pm_card_visa").await.assert_problem(409, "payment_not_due");
    app.pay(999, "pm_card_visa").await.assert_problem(404, "not_found");
    assert_eq!(app.booking(id).await["payment"]["attempts"], 0);
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_to_be_paid_later_ends_by_the_departure() {
    let app = TestApp::start().await;
    let mut soon = crate::support::flight(5);
    let departs_at = crate::support::start_of_test() + chrono::TimeDelta::minutes(4);
    soon["timestamp"] = json!(departs_at);
    soon.as_object_mut().expect("an object").remove("arrival_timestamp");
    let flight = app.post("/api/v1/flights", &soon).await.json["id"].as_i64().expect("an id");
    let id = app.hold(flight, 1).await;
    let held = app.booking(id).await;
    let ends: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(held["hold_expires_at"].clone()).expect("an instant");
    assert_eq!(ends, departs_at);
    let path = format!("/api/v1/bookings/{id}/extend");
    app.post(&path, &json!({})).await.assert_problem(409, "not_extendable");

    // A flight that was added after its departure is on sale all the same.
    soon["timestamp"] = json!(departs_at - chrono::TimeDelta::days(9));
    let flight = app.post("/api/v1/flights", &soon).await.json["id"].as_i64().expect("an id");
    let id = app.hold(flight, 1).await;
    assert_eq!(app.pay(id, "pm_card_visa").await.json["status"], "completed");
    app.finish().await;
}

/// The page on which a payment's payer acts.
fn page_of(answer: &Answer) -> String {
    assert_eq!(payment(answer)["status"], "action_required", "{answer:?}");
    assert_eq!(payment(answer)["next_action"]["type"], "redirect");
    let url = payment(answer)["next_action"]["url"].as_str().expect("a URL");
    assert!(url.starts_with("/sandbox/pay/PAY-"), "{url}");
    url.to_owned()
}

impl TestApp {
    /// The payer approves or declines.
    async fn act(&self, page: &str, verdict: &str) {
        let form = format!("verdict={verdict}");
        let post = Request::post(page).header("content-type", "application/x-www-form-urlencoded");
        let acted = self.send(post.body(Body::from(form)).expect("a request")).await;
        assert_eq!(
            (acted.status.as_u16(), acted.header("location")),
            (303, Some(page)),
            "{acted:?}"
        );
    }

    /// Waits until a booking has this status, and its payment that one.
    async fn ends(&self, booking: i64, status: &str, payment: &str) {
        eventually(format!("booking {booking}, {status}, {payment}"), async || {
            let seen = self.booking(booking).await;
            let is_so = seen["status"] == status && seen["payment"]["status"] == payment;
            if is_so { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_approves_completes_the_booking() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    for method in ["pm_card_3ds", "pm_upi"] {
        let id = app.hold(flight, 1).await;
        let path = format!("/api/v1/bookings/{id}/payment");
        let body = json!({"payment_method": method, "return_url": "/trips?a=1&b=2"});
        let asked = app.send_json_with(Method::POST, &path, &body, &[("prefer", "wait=30")]).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        let page = page_of(&asked);
        let shown = app.get(&page).await;
        assert_eq!(shown.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(
            shown.text.contains("2500.00 INR") && shown.text.contains("Approve"),
            "{}",
            shown.text
        );
        let policy = shown.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        // Until they act, the next attempt is refused and nothing is charged.
        app.pay(id, "pm_card_visa").await.assert_problem(409, "payment_in_progress");
        assert_eq!(app.booking(id).await["status"], "pending");

        app.act(&page, "approved").await;
        app.ends(id, "completed", "captured").await;
        let back = "http://localhost:8080/trips?a=1&amp;b=2";
        let after = app.get(&page).await.text;
        assert!(after.contains(back) && after.contains("approved"), "{after}");
        // The first word counts, and money has moved.
        app.act(&page, "declined").await;
        assert!(app.get(&page).await.text.contains("approved"));
    }
    app.run_until_idle().await;
    assert_eq!(app.flight(flight).await["available_seats"], 7);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_declines_leaves_the_hold_or_ends_the_booking() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let later = app.hold(flight, 1).await;
    app.act(&page_of(&app.pay(later, "pm_card_3ds").await), "declined").await;
    app.ends(later, "pending", "declined").await;
    assert_eq!(app.pay(later, "pm_card_visa").await.json["status"], "completed");

    let at_once = app.book_paid_by(flight, 1, "pm_card_3ds").await.booking_id();
    eventually("a payer who is asked", async || {
        let status = app.booking(at_once).await["payment"]["status"].clone();
        if status == "action_required" { Ok(()) } else { Err(status) }
    })
    .await;
    let asked = app.get(&format!("/api/v1/bookings/{at_once}")).await;
    app.act(&page_of(&asked), "declined").await;
    app.ends(at_once, "failed", "declined").await;
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_payer_goes_away_lapses_and_is_never_charged() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let id = app.hold(flight, 2).await;
    let page = page_of(&app.pay(id, "pm_card_3ds").await);
    // The sweeper asks the gateway in between.
    app.pass(Duration::from_secs(5 * 60)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["payment"]["status"], "action_required");
    app.pass(AFTER_THE_WINDOW).await;
    app.ends(id, "failed", "reversed").await;
    app.act(&page, "approved").await;
    app.run_until_idle().await;
    app.ends(id, "failed", "reversed").await;
    assert_eq!(app.flight(flight).await["held_seats"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_no_hint_told_of_is_found_by_the_sweeper() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(9).await, 2).await;
    let page = page_of(&app.pay(id, "pm_card_3ds").await);
    let reference = page.rsplit('/').next().expect("a token").parse().expect("a reference");
    app.gateway.act(reference, Verdict::Approved).await.expect("the books");
    app.pass(Duration::from_secs(60)).await;
    app.ends(id, "completed", "captured").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_no_payment_and_a_form_without_a_verdict_are_refused() {
    let app = TestApp::start().await;
    let id = app.hold(app.add_flight(9).await, 1).await;
    let page = page_of(&app.pay(id, "pm_upi").await);
    let unknown = format!("/sandbox/pay/PAY-{:032x}", 7);
    for path in ["/sandbox/pay/", "/sandbox/pay/x", &unknown] {
        app.get(path).await.assert_problem(404, "not_found");
    }
    for form in ["", "verdict=", "verdict=maybe", "other=approved"] {
        let post = Request::post(&page).body(Body::from(form)).expect("a request");
        app.send(post).await.assert_problem(400, "malformed_request");
    }
    let post = Request::post(&unknown).body(Body::from("verdict=approved")).expect("a request");
    app.send(post).await.assert_problem(404, "not_found");
    assert_eq!(app.booking(id).await["payment"]["status"], "action_required");
    app.finish().await;
}
