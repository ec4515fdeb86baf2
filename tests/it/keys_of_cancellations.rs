//! Idempotency keys of cancellations are written in the commit that cancels.

use crate::support::{Answer, Fault, TestApp, give_up_after};
use http::Method;
use serde_json::json;

async fn cancel(app: &TestApp, booking: i64, key: &str) -> Answer {
    let path = format!("/api/v1/bookings/{booking}/cancel");
    app.send_json_with(Method::POST, &path, &json!({}), &[("idempotency-key", key)]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

async fn paid(app: &TestApp, flight: i64) -> i64 {
    let booking = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    booking
}

#[tokio::test]
async fn a_cancellation_dropped_at_any_step_stores_both_itself_and_its_key_or_neither() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1_000).await;
    let other = paid(&app, flight).await;
    for polls in 1.. {
        let (booking, key) = (paid(&app, flight).await, format!("leave-{polls}"));
        let answer = give_up_after(polls, cancel(&app, booking, &key)).await;
        app.run_until_idle().await;
        let was_made = app.booking(booking).await["status"] == "cancelled";

        let again = cancel(&app, booking, &key).await;
        assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, was_made), "{polls} polls");
        assert_eq!(again.json["status"], "cancelled");
        cancel(&app, other, &key).await.assert_problem(422, "idempotency_key_reused");
        if let Some(answer) = answer {
            assert!(was_made && answer.status == 200, "{answer:?}");
            break;
        }
    }
    assert_eq!(app.booking(other).await["status"], "completed");
    app.finish().await;
}

#[tokio::test]
async fn a_refused_cancellation_dropped_at_any_step_leaves_its_key_free() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1_000).await;
    let failed = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(failed).await["status"], "failed");
    for polls in 1.. {
        let key = format!("leave-{polls}");
        let answer = give_up_after(polls, cancel(&app, failed, &key)).await;
        app.run_until_idle().await;

        let fresh = cancel(&app, paid(&app, flight).await, &key).await;
        assert_eq!((fresh.status.as_u16(), is_replayed(&fresh)), (200, false), "{polls} polls");
        if let Some(answer) = answer {
            answer.assert_problem(409, "booking_not_cancellable");
            break;
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cancellation_whose_commit_is_lost_or_panics_happens_once() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let other = paid(&app, flight).await;
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Panics, Fault::PanicsAfter] {
        let booking = paid(&app, flight).await;
        let version = app.flight(flight).await["version"].as_i64().expect("a version");
        let key = format!("{fault:?}");
        app.faults.plan([fault]);
        let first = cancel(&app, booking, &key).await;
        let again = cancel(&app, booking, &key).await;
        assert_eq!((again.status.as_u16(), &again.json["status"]), (200, &json!("cancelled")));
        assert_eq!(is_replayed(&again), first.status == 200, "{fault:?}: {first:?}");
        assert!(!is_replayed(&first), "{fault:?}: {first:?}");
        assert_eq!(app.flight(flight).await["version"], version + 1, "{fault:?}");
        cancel(&app, other, &key).await.assert_problem(422, "idempotency_key_reused");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_with_a_key_of_a_keyless_cancellation_stores_the_key() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let (booking, other) = (paid(&app, flight).await, paid(&app, flight).await);
    app.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
    let version = app.flight(flight).await["version"].clone();
    let keyed = cancel(&app, booking, "later").await;
    assert_eq!((keyed.status.as_u16(), is_replayed(&keyed)), (200, false));
    assert!(is_replayed(&cancel(&app, booking, "later").await));
    assert_eq!(app.flight(flight).await["version"], version);
    cancel(&app, other, "later").await.assert_problem(422, "idempotency_key_reused");
    app.finish().await;
}

#[tokio::test]
async fn cancellations_of_many_flights_at_once_with_one_key_cancel_one_booking() {
    let app = TestApp::start().await;
    let mut bookings = Vec::new();
    for _ in 0..8 {
        let flight = app.add_flight(9).await;
        bookings.push(paid(&app, flight).await);
    }
    let answers = bookings.iter().map(|booking| cancel(&app, *booking, "at-once"));
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_problem(422, "idempotency_key_reused");
    }
    let mut cancelled = 0;
    for booking in bookings {
        cancelled += usize::from(app.booking(booking).await["status"] == "cancelled");
    }
    assert_eq!(cancelled, 1);
    app.finish().await;
}
