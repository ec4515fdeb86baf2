//! Messages on `airline-events`, which other systems write too: each is only a reason to read a booking.

use super::{Subject, messages};
use crate::fuzzing::{MESSAGE, Target};
use crate::support::{Answer, booking, eventually, flight, name_host};
use airline_booking::bus::Bus as _;
use airline_booking::messages::Topic;
use axum::body::Body;
use http::Request;
use serde_json::json;
use tower::ServiceExt as _;

/// Events of a booking that is pending, which say that it has ended.
const SEEDS: &[&str] = &[
    "ce_specversion: 1.0\nce_type: booking.completed\nce_id: 1\n\n{\"id\":77702,\"status\":\"completed\",\
     \"version\":9223372036854775807,\"payment_reference_id\":\"PAY-7b0c2f0e5d3c7a519d7e0c2f5d3c7a51\"}",
    "ce_type: booking.cancelled\n\n{\"id\":77702}",
    "ce_type: booking.\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n\n{\"id\":77702}",
    "ce_type: flight.created\n\n{\"id\":77701}",
];

#[test]
fn an_airline_event_of_any_text_changes_nothing_and_ends_no_wait_of_a_pending_booking() {
    let Some(mut subject) = Subject::start(|_| {}) else { return };
    subject.app.gateway.close();
    let (flight, placed) = subject.runtime.block_on(pending(&subject));
    (subject.flight, subject.booking) = (flight, placed);
    let path = format!("/api/v1/bookings/{placed}");
    let before = subject.digest();
    let mut waiting = subject.runtime.spawn({
        let mut request = booked(flight, "wait=600");
        name_host(&mut request);
        let _runtime = subject.runtime.enter();
        let router = subject.app.app.router();
        async move { Answer::read(router.oneshot(request).await.expect("infallible")).await }
    });
    let seeds = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    Target { name: "events", seeds, mutations: MESSAGE }.run(|input| {
        let message = messages::parsed(&subject.with_ids(input));
        subject.runtime.block_on(async {
            subject.app.bus.publish(&[(Topic::AirlineEvents, message)]).await.expect("published");
            // A turn for the listener and for the caller that waits.
            tokio::task::yield_now().await;
        });
        assert!(!waiting.is_finished(), "a pending booking was answered as ended");
    });
    assert_eq!(subject.digest(), before, "an event has changed a table");
    subject.runtime.block_on(async {
        let shown = subject.app.get(&path).await;
        assert_eq!(shown.json["status"], json!("pending"), "{shown:?}");
        subject.app.gateway.open();
        let answer = tokio::time::timeout(super::TIME_MAX, &mut waiting).await;
        let answer = answer.expect("woken").expect("a task");
        assert_eq!(answer.json["status"], json!("completed"), "{answer:?}");
    });
    subject.finish();
}

/// A flight, and a pending booking on it; its payment waits at the gateway.
async fn pending(subject: &Subject) -> (i64, i64) {
    let app = &subject.app;
    let created = app.post("/api/v1/flights", &flight(10_000)).await;
    let flight = created.json["id"].as_i64().expect("an id");
    let booking = app.send(booked(flight, "wait=0")).await.booking_id();
    eventually("a gateway call", async || app.gateway.held_back() > 0).await;
    app.run_until_idle().await;
    (flight, booking)
}

/// The same request each time.
fn booked(flight: i64, prefer: &str) -> Request<Body> {
    let request = Request::post("/api/v1/bookings")
        .header("content-type", "application/json")
        .header("idempotency-key", "the-one-that-waits")
        .header("prefer", prefer);
    request.body(Body::from(booking(flight, 1).to_string())).expect("a request")
}
