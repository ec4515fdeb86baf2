//! Bookings over HTTP: place, repeat, read, cancel, list; and what is refused.

use crate::support::{TestApp, booking, flight};
use axum::body::Body;
use futures::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

const PATH: &str = "/api/v1/bookings";

#[tokio::test]
async fn the_booking_of_the_specification_works_unchanged() {
    let app = TestApp::start().await;
    let id = app.add_flight(150).await;
    assert_eq!(id, 1);
    app.gateway.close();
    let body = r#"{
        "flight_id": 1,
        "user_id": 123,
        "seats_booked": 2,
        "passenger_details": [
          {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"},
          {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28, "gender": "female"}
        ]
    }"#;
    let request = Request::post(PATH).header("content-type", "application/json");
    let placed = app.send(request.body(Body::from(body)).expect("a request")).await;
    assert_eq!(placed.header("location"), Some("/api/v1/bookings/1"));
    assert!(placed.text.contains(r#""booking_price":5000.00"#), "{}", placed.text);
    let reference = placed.json["payment_reference_id"].as_str().expect("a reference");
    assert!(reference.len() == 36 && reference.starts_with("PAY-"));
    assert_eq!(
        placed.json,
        json!({
            "booking_id": 1, "reference": placed.json["reference"], "status": "pending",
            "payment_reference_id": reference,
            "message": "Booking created, processing payment", "booking_price": 5000.0,
            "hold_expires_at": "2025-01-01T00:05:00Z", "pay_by": "2025-01-01T00:05:00Z",
            "payment_status": "processing"
        })
    );
    assert_eq!(placed.status, 201);
    let read = app.booking(1).await;
    assert_eq!(read["booking_metadata"][1]["name"], "Jane Doe");
    assert_eq!(read["status"], "pending");
    app.finish().await;
}

#[tokio::test]
async fn prefer_wait_is_answered_with_the_final_status() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    for (method, status, reason) in [
        ("pm_card_visa", "completed", Value::Null),
        ("pm_card_declined", "failed", json!("payment_declined")),
    ] {
        let mut body = booking(id, 1);
        body["payment_method"] = json!(method);
        let wait = [("prefer", "respond-async, wait=30")];
        let placed = app.send_json_with(Method::POST, PATH, &body, &wait).await;
        assert_eq!(placed.header("preference-applied"), Some("wait=30"));
        assert_eq!((placed.status.as_u16(), &placed.json["status"]), (201, &json!(status)));
        assert_eq!(placed.json["failure_reason"], reason);
    }
    app.finish().await;
}

#[tokio::test]
async fn beyond_the_maximum_of_waiting_callers_pending_is_answered_at_once() {
    let app = TestApp::with(|config| config.max_waiting = 0).await;
    let id = app.add_flight(9).await;
    app.gateway.close();
    let wait = [("prefer", "wait=60")];
    let placed = app.send_json_with(Method::POST, PATH, &booking(id, 1), &wait).await;
    assert_eq!(placed.json["status"], "pending");
    app.finish().await;
}

#[tokio::test]
async fn bookings_of_unsellable_flights_are_refused_with_a_code() {
    let app = TestApp::start().await;
    let id = app.add_flight(2).await;
    app.book(id, 3).await.assert_problem(409, "insufficient_seats");
    app.book(999, 1).await.assert_problem(404, "not_found");
    for status in ["departed", "cancelled"] {
        let mut body = flight(5);
        body["flight_status"] = json!(status);
        let closed = app.post("/api/v1/flights", &body).await.json["id"].as_i64().expect("an id");
        app.book(closed, 1).await.assert_problem(409, "flight_not_bookable");
    }
    assert_eq!(app.flight(id).await["version"], 1);
    app.finish().await;
}

#[tokio::test]
async fn bookings_close_the_stated_time_before_departure() {
    let app = TestApp::with(|config| {
        config.booking_closes_before = Some(Duration::from_hours(24 * 30));
    })
    .await;
    let id = app.add_flight(2).await;
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    app.finish().await;
}

#[tokio::test]
async fn bookings_that_cannot_be_cancelled_are_refused() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let cancel = |booking: i64| format!("{PATH}/{booking}/cancel");
    app.post(&cancel(999), &json!({})).await.assert_problem(404, "not_found");
    let failed = app.book_paid_by(id, 1, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    app.post(&cancel(failed), &json!({})).await.assert_problem(409, "booking_not_cancellable");
    // No body and no content type are needed.
    let bare = Request::post(cancel(failed)).body(Body::empty()).expect("a request");
    app.send(bare).await.assert_problem(409, "booking_not_cancellable");
    app.finish().await;
}

#[tokio::test]
async fn a_cancellation_answers_with_the_booking_as_it_is_read_afterwards() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    for is_paid in [false, true] {
        if !is_paid {
            app.gateway.close();
        }
        let booking = app.book(id, 2).await.booking_id();
        app.run_until_idle().await;
        app.gateway.close_refunds();
        for _repeat in 0..2 {
            let path = format!("{PATH}/{booking}");
            let cancelled = app.post(&format!("{path}/cancel"), &json!({})).await;
            assert_eq!(cancelled.status, 200);
            assert!(cancelled.text.contains("asha@example.com"), "{}", cancelled.text);
            assert_eq!(cancelled.text, app.get(&path).await.text);
            let refunds = cancelled.json["refunds"].as_array().map(Vec::len);
            assert_eq!(refunds, Some(usize::from(is_paid)), "{cancelled:?}");
        }
        app.gateway.open();
        app.run_until_idle().await;
        let payment = &app.booking(booking).await["payment"]["status"];
        assert_eq!(payment, if is_paid { "captured" } else { "reversed" });
    }
    app.finish().await;
}

#[tokio::test]
async fn a_users_bookings_are_listed_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let id = app.add_flight(50).await;
    for number in 0..7 {
        let method = if number == 3 { "pm_card_declined" } else { "pm_card_visa" };
        app.book_paid_by(id, 1, method).await.booking_id();
    }
    app.run_until_idle().await;
    let app_ref = &app;
    let list = |query: String| async move {
        let app = app_ref;
        let answer = app.get(&format!("/api/v1/users/123/bookings?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let ids: Vec<i64> = answer.json["bookings"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|booking| booking["id"].as_i64().expect("an id"))
            .collect();
        assert_eq!(answer.json["count"], ids.len());
        (ids, answer.json["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list(String::new()).await, (vec![7, 6, 5, 4, 3, 2, 1], None));
    assert_eq!(list("status=failed".into()).await, (vec![4], None));
    let (first, cursor) = list("limit=3".into()).await;
    let (second, cursor) = list(format!("limit=3&cursor={}", cursor.expect("more"))).await;
    let (third, end) = list(format!("limit=3&cursor={}", cursor.expect("more"))).await;
    assert_eq!([first, second, third].concat(), [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(end, None);

    let nobody = app.get("/api/v1/users/99/bookings").await;
    assert_eq!(nobody.text, r#"{"bookings":[],"count":0}"#);
    for query in ["limit=0", "limit=1001", "status=flown"] {
        let answer = app.get(&format!("/api/v1/users/123/bookings?{query}")).await;
        answer.assert_problem(422, "validation_failed");
    }
    for path in ["x/bookings", "123/bookings?limit=many", "123/bookings?cursor=x"] {
        let answer = app.get(&format!("/api/v1/users/{path}")).await;
        answer.assert_problem(400, "malformed_request");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_with_its_key_books_once() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    let key = [("idempotency-key", "order-7")];
    let place = |body: Value| {
        let app = &app;
        async move { app.send_json_with(Method::POST, PATH, &body, &key).await }
    };
    let answers = join_all((0..50).map(|_| place(booking(id, 2)))).await;
    let ids: HashSet<i64> = answers.iter().map(crate::support::Answer::booking_id).collect();
    assert_eq!(ids.len(), 1);
    let replayed = answers.iter().filter(|a| a.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), 49);
    app.run_until_idle().await;
    assert_eq!(app.flight(id).await["available_seats"], 98);
    assert_eq!(place(booking(id, 2)).await.json["status"], "completed");

    place(booking(id, 1)).await.assert_problem(422, "idempotency_key_reused");
    let mut other = booking(id, 2);
    other["user_id"] = json!(124);
    assert!(!ids.contains(&place(other).await.booking_id()));

    app.clock.advance(chrono::TimeDelta::hours(25));
    assert!(!ids.contains(&place(booking(id, 2)).await.booking_id()));
    app.finish().await;
}

#[tokio::test]
async fn a_refused_booking_does_not_use_up_its_key() {
    let app = TestApp::start().await;
    let id = app.add_flight(1).await;
    let key = [("idempotency-key", "order-8")];
    let body = booking(id, 2);
    let refused = app.send_json_with(Method::POST, PATH, &body, &key).await;
    refused.assert_problem(409, "insufficient_seats");
    app.put(&format!("/api/v1/flights/{id}"), &json!({"total_seats": 3, "version": 1})).await;
    app.send_json_with(Method::POST, PATH, &body, &key).await.booking_id();
    app.finish().await;
}

#[tokio::test]
async fn bad_bookings_are_refused_with_every_bad_field_named_and_nothing_changes() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let with = |field: &str, value: Value| {
        let mut body = booking(id, 2);
        body[field] = value;
        body
    };
    let passenger = |field: &str, value: Value| {
        let mut body = booking(id, 2);
        body["passenger_details"][1][field] = value;
        body
    };
    let all = ["/flight_id", "/user_id", "/seats_booked", "/passenger_details"];
    for (body, pointers) in [
        (json!({}), &all[..]),
        (with("flight_id", json!("1")), &["/flight_id"]),
        (with("flight_id", json!(0)), &["/flight_id"]),
        (with("user_id", json!(-3)), &["/user_id"]),
        (with("user_id", json!(1.5)), &["/user_id"]),
        (with("seats_booked", json!(0)), &["/seats_booked", "/passenger_details"]),
        (with("seats_booked", json!(-1)), &["/seats_booked", "/passenger_details"]),
        (with("seats_booked", json!(3_000_000_000_i64)), &["/seats_booked"]),
        (booking(id, 10), &["/seats_booked"]),
        (with("seats_booked", json!(1)), &["/passenger_details"]),
        (with("seats_booked", json!(3)), &["/passenger_details"]),
        (with("passenger_details", json!([])), &["/passenger_details"]),
        (with("passenger_details", json!({})), &["/passenger_details"]),
        (with("payment_method", json!("")), &["/payment_method"]),
        (with("payment_method", json!("visa; drop")), &["/payment_method"]),
        (passenger("name", json!("")), &["/passenger_details/1/name"]),
        (passenger("name", json!("x".repeat(10_240))), &["/passenger_details/1/name"]),
        (passenger("name", json!("a\u{0}b")), &["/passenger_details/1/name"]),
        (passenger("name", json!(null)), &["/passenger_details/1/name"]),
        (passenger("email", json!("nobody")), &["/passenger_details/1/email"]),
        (passenger("email", json!("a@b@c")), &["/passenger_details/1/email"]),
        (passenger("phone", json!("call me")), &["/passenger_details/1/phone"]),
        (passenger("age", json!(131)), &["/passenger_details/1/age"]),
        (passenger("age", json!("30")), &["/passenger_details/1/age"]),
        (passenger("gender", json!("\n")), &["/passenger_details/1/gender"]),
        (
            with("passenger_details", json!([{}, {}])),
            &[
                "/passenger_details/0/name",
                "/passenger_details/0/email",
                "/passenger_details/0/phone",
                "/passenger_details/0/gender",
                "/passenger_details/0/age",
                "/passenger_details/1/name",
                "/passenger_details/1/email",
                "/passenger_details/1/phone",
                "/passenger_details/1/gender",
                "/passenger_details/1/age",
            ],
        ),
    ] {
        let answer = app.post(PATH, &body).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), pointers, "{body}");
        assert!(!answer.text.contains("Asha") && !answer.text.contains("call me"));
    }
    let long_key = "k".repeat(256);
    let key = [("idempotency-key", long_key.as_str())];
    let answer = app.send_json_with(Method::POST, PATH, &booking(id, 1), &key).await;
    answer.assert_problem(422, "validation_failed");
    assert_eq!(app.flight(id).await["version"], 1);
    assert_eq!(app.get("/api/v1/users/123/bookings").await.json["count"], 0);
    app.finish().await;
}

#[tokio::test]
async fn a_total_beyond_the_schema_is_refused() {
    let app = TestApp::start().await;
    let mut dear = flight(9);
    dear["price"] = json!("99999999.99");
    let id = app.post("/api/v1/flights", &dear).await.json["id"].as_i64().expect("an id");
    app.book(id, 2).await.assert_problem(422, "validation_failed");
    assert_eq!(app.book(id, 1).await.json["booking_price"], 99_999_999.99);
    app.finish().await;
}
