//! `MAX_PENDING_PER_USER` limits the unpaid seats that one user holds of a flight.

use crate::support::replicas::Replicas;
use crate::support::{Answer, TestApp, booking};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

const MOST: i32 = 5;

async fn limited() -> TestApp {
    TestApp::with(|config| config.max_pending_per_user = Some(MOST)).await
}

async fn book_as(app: &TestApp, user: i64, flight: i64, seats: i32) -> Answer {
    let mut body = booking(flight, seats);
    body["user_id"] = json!(user);
    app.post("/api/v1/bookings", &body).await
}

#[tokio::test]
async fn a_user_holds_no_more_seats_of_a_flight_unpaid_than_the_limit() {
    let app = limited().await;
    let (flight, other) = (app.add_flight(100).await, app.add_flight(100).await);
    app.gateway.close();
    let first = app.book(flight, 3).await.booking_id();
    let refused = app.book(flight, 3).await;
    refused.assert_problem(409, "too_many_pending");
    let detail = refused.json["detail"].as_str().expect("text");
    assert!(detail.contains("MAX_PENDING_PER_USER") && detail.contains("3 seats wait"), "{detail}");
    app.book(flight, 2).await.booking_id();
    app.book(flight, 1).await.assert_problem(409, "too_many_pending");
    assert_eq!(app.flight(flight).await["held_seats"], 5);

    // Others, and other flights, have their own.
    book_as(&app, 7, flight, 5).await.booking_id();
    app.book(other, 5).await.booking_id();

    // What is given up, paid for or lapsed no longer counts.
    let cancelled = app.post(&format!("/api/v1/bookings/{first}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200);
    app.book(flight, 3).await.booking_id();
    app.book(flight, 1).await.assert_problem(409, "too_many_pending");
    app.gateway.open();
    app.run_until_idle().await;
    app.book(flight, 5).await.booking_id();
    app.run_until_idle().await;
    let unpaid = app.book_paid_by(flight, 5, "pm_card_error").await.booking_id();
    app.run_until_idle().await;
    app.book(flight, 1).await.assert_problem(409, "too_many_pending");
    app.pass(Duration::from_secs(301)).await;
    assert_eq!(app.booking(unpaid).await["failure_reason"], "hold_expired");
    app.book(flight, 5).await.booking_id();
    app.finish().await;
}

#[tokio::test]
async fn a_party_beyond_the_limit_is_refused_and_a_repeat_of_a_booking_is_not() {
    let app = limited().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    app.book(flight, 6).await.assert_problem(409, "too_many_pending");
    for replayed in [None, Some("true")] {
        let body = booking(flight, 5);
        let key = [("idempotency-key", "the-same")];
        let answer = app.send_json_with(http::Method::POST, "/api/v1/bookings", &body, &key).await;
        answer.booking_id();
        assert_eq!(answer.header("idempotent-replayed"), replayed);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_pending_seat_limit_found_at_commit_is_not_a_version_conflict() {
    let app = limited().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    let moved = app.book(flight, 3).await.booking_id();
    // As a booking of another replica, of which this one knows nothing.
    app.database.plant(&format!("UPDATE bookings SET user_id = 7 WHERE id = {moved}")).await;
    book_as(&app, 7, flight, 3).await.assert_problem(409, "too_many_pending");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("booking_limit_conflicts_total 1\n"), "{metrics}");
    assert!(metrics.contains("booking_version_conflicts_total 0\n"), "{metrics}");
    app.finish().await;
}

#[tokio::test]
async fn without_a_limit_a_user_can_hold_any_number_of_seats() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    for _ in 0..10 {
        app.book(flight, 9).await.booking_id();
    }
    app.finish().await;
}

/// How many were accepted; the others were refused for the limit.
fn accepted(answers: &[(u16, Value)]) -> usize {
    let refused = answers.iter().filter(|(status, _)| *status != 201);
    for (status, body) in refused {
        assert_eq!((*status, &body["code"]), (409, &json!("too_many_pending")), "{body}");
    }
    answers.iter().filter(|(status, _)| *status == 201).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_holds_do_not_exceed_the_limit_together() {
    let app = limited().await;
    let flight = app.add_flight(200).await;
    app.gateway.close();
    for user in [1, 2] {
        let answers = join_all((0..60).map(|_| book_as(&app, user, flight, 1))).await;
        let answers: Vec<_> =
            answers.into_iter().map(|answer| (answer.status.as_u16(), answer.json)).collect();
        assert_eq!(accepted(&answers), MOST as usize);
    }
    assert_eq!(app.flight(flight).await["held_seats"], 2 * MOST);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_through_two_replicas_do_not_exceed_the_limit_together() {
    for locks in ["true", "false"] {
        let replicas = Replicas::new()
            .await
            .with("MAX_PENDING_PER_USER", &MOST.to_string())
            .with("FLIGHT_LOCKS", locks)
            .start(2)
            .await;
        let flight = replicas.add_flight(200).await;
        // It never answers, so that all stay pending.
        let mut body = booking(flight, 1);
        body["payment_method"] = json!("pm_card_error");
        let asks = (0..60).map(|ask| {
            let url = replicas.url(ask % 2, "/api/v1/bookings");
            let post = replicas.client.post(url).json(&body);
            async move {
                let answer = post.send().await.expect("an answer");
                (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
            }
        });
        assert_eq!(accepted(&join_all(asks).await), MOST as usize);
        let flight = replicas.get(1, &format!("/api/v1/flights/{flight}")).await;
        assert_eq!(flight["held_seats"], MOST);
    }
}
