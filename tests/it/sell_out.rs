//! A thousand callers want the same flight: every seat is sold exactly once.

use crate::support::{Answer, TestApp, booking};
use futures::future::join_all;
use serde_json::json;

/// The answers to that many parties of one at once; the method is chosen by number.
async fn rush(
    app: &TestApp,
    flight: i64,
    clients: usize,
    method: fn(usize) -> &'static str,
) -> Vec<Answer> {
    let method = &method;
    join_all((0..clients).map(|client| async move {
        let mut body = booking(flight, 1);
        body["user_id"] = json!(client + 1);
        body["payment_method"] = json!(method(client));
        app.post("/api/v1/bookings", &body).await
    }))
    .await
}

async fn statuses(app: &TestApp, answers: &[Answer]) -> (usize, usize) {
    let (mut completed, mut failed) = (0, 0);
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        match app.booking(answer.booking_id()).await["status"].as_str() {
            Some("completed") => completed += 1,
            Some("failed") => failed += 1,
            other => panic!("a booking ended as {other:?}"),
        }
    }
    (completed, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_enough_seats_every_booking_completes() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1_000).await;
    let answers = rush(&app, flight, 1_000, |_| "pm_card_visa").await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    app.run_until_idle().await;
    assert_eq!(statuses(&app, &answers).await, (1_000, 0));
    assert_eq!(app.flight(flight).await["available_seats"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_half_the_seats_exactly_half_complete_and_the_rest_are_refused() {
    let app = TestApp::start().await;
    let flight = app.add_flight(500).await;
    let answers = rush(&app, flight, 1_000, |_| "pm_card_visa").await;
    let (sold, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((sold.len(), refused.len()), (500, 500));
    for answer in &refused {
        answer.assert_problem(409, "insufficient_seats");
    }
    app.run_until_idle().await;
    assert_eq!(statuses(&app, &sold).await, (500, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_of_declined_payments_come_back() {
    let app = TestApp::start().await;
    let flight = app.add_flight(600).await;
    let third =
        |client: usize| if client.is_multiple_of(3) { "pm_card_declined" } else { "pm_card_visa" };
    let answers = rush(&app, flight, 600, third).await;
    app.run_until_idle().await;
    assert_eq!(statuses(&app, &answers).await, (400, 200));
    let after = app.flight(flight).await;
    assert_eq!((&after["available_seats"], &after["held_seats"]), (&json!(200), &json!(0)));

    let again = rush(&app, flight, 201, |_| "pm_card_visa").await;
    assert_eq!(again.iter().filter(|answer| answer.status == 201).count(), 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds_new_bookings_and_accepted_ones_complete() {
    let app = TestApp::with(|config| config.max_queued_holds = 64).await;
    let flight = app.add_flight(10_000).await;
    let answers = rush(&app, flight, 2_000, |_| "pm_card_visa").await;
    let (accepted, shed): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert!(!shed.is_empty() && !accepted.is_empty());
    for answer in &shed {
        answer.assert_problem(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
    }
    app.run_until_idle().await;
    assert_eq!(statuses(&app, &accepted).await, (accepted.len(), 0));
    app.finish().await;
}
