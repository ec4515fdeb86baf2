//! Which requests need one of the `MAX_IN_FLIGHT` permits, and which do not: probes, slow bodies, callers that
//! wait for a payment. And requests that hang or panic.

use crate::support::{Answer, ReadFault, TestApp, booking, eventually};
use axum::body::Body;
use futures::future::join_all;
use http::{Method, Request};
use serde_json::json;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::oneshot;

const PATH: &str = "/api/v1/bookings";

async fn with_places(max: usize) -> TestApp {
    TestApp::with(|config| config.max_in_flight = max).await
}

/// Long enough on a busy machine, and shorter than all probes take one after the other.
const IN_TIME: Duration = Duration::from_secs(20);

/// Polls a request until the service works on so many, and checks that it is not answered meanwhile.
async fn is_under_way<T: Debug>(
    app: &TestApp,
    requests: usize,
    answer: &mut (impl Future<Output = T> + Unpin),
) {
    let in_flight = format!("http_in_flight_requests {requests}\n");
    let are_under_way = async || app.app.metrics.render().contains(&in_flight);
    tokio::select! {
        answer = answer => panic!("{answer:?}"),
        () = eventually(&in_flight, are_under_way) => {}
    }
}

/// Polls a booking until this many captures are at the gate and its handler has returned the permit, which may be
/// a moment later. Checks that the booking is not answered meanwhile.
async fn waits_for_its_payment(
    app: &TestApp,
    payments: usize,
    answer: &mut (impl Future<Output = Answer> + Unpin),
) {
    let are_held_back = async || {
        app.gateway.held_back() == payments && app.get("/api/v1/flights/1").await.status != 503
    };
    tokio::select! {
        answer = answer => panic!("{answer:?}"),
        () = eventually("captures at the gate", are_held_back) => {}
    }
}

#[tokio::test]
async fn probes_take_no_permit_and_ping_the_store_once() {
    let app = with_places(1).await;
    let flight = app.add_flight(9).await;
    app.faults.strike_reads(Some(ReadFault::Hangs));
    let probes = (0..50).map(|number| app.get(["/readyz", "/api/v1/health"][number % 2]));
    let mut probes = Box::pin(join_all(probes));
    is_under_way(&app, 50, &mut probes).await;
    assert_eq!(app.faults.pings(), 1);
    let placed = tokio::select! {
        answers = &mut probes => panic!("{answers:?}"),
        placed = app.book(flight, 1) => placed,
    };
    assert_eq!(placed.status, 201, "{placed:?}");
    // Not one after the other: all share the answer of the first.
    let answers = tokio::time::timeout(IN_TIME, probes).await.expect("in time");
    assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
    app.faults.strike_reads(None);
    app.finish().await;
}

#[tokio::test]
async fn each_operation_of_the_api_needs_a_permit() {
    let app = with_places(0).await;
    let document = app.get("/openapi.json").await.json;
    let paths = document["paths"].as_object().expect("paths").iter();
    let mut tried = 0;
    for (path, operations) in paths.filter(|(path, _)| path.starts_with("/api/")) {
        if path.ends_with("/health") {
            continue;
        }
        for method in operations.as_object().expect("methods").keys() {
            let method = method.to_uppercase().parse().expect("a method");
            let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let shed = app.send_json(method, &path, &json!({})).await;
            shed.assert_problem(503, "overloaded");
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    app.finish().await;
}

#[tokio::test]
async fn a_slow_body_takes_no_permit() {
    let app = with_places(1).await;
    let flight = app.add_flight(9).await;
    let slow = || {
        let (send, body) = oneshot::channel::<String>();
        let body = futures::stream::once(async { body.await.map_err(std::io::Error::other) });
        let request = Request::post(PATH).header("content-type", "application/json");
        (send, request.body(Body::from_stream(body)).expect("a request"))
    };
    let (send, request) = slow();
    let mut answer = Box::pin(app.send(request));
    is_under_way(&app, 1, &mut answer).await;
    assert_eq!(app.book(flight, 1).await.status, 201);
    send.send(booking(flight, 1).to_string()).expect("it is awaited");
    assert_eq!(answer.await.status, 201);

    // It needs one once it is there.
    let (send, request) = slow();
    let mut answer = Box::pin(app.send(request));
    is_under_way(&app, 1, &mut answer).await;
    app.faults.strike_reads(Some(ReadFault::Hangs));
    let path = format!("/api/v1/flights/{flight}");
    let mut hanging = Box::pin(app.get(&path));
    is_under_way(&app, 2, &mut hanging).await;
    send.send(booking(flight, 1).to_string()).expect("it is awaited");
    answer.await.assert_problem(503, "overloaded");
    drop(hanging);
    app.faults.strike_reads(None);
    assert_eq!(app.book(flight, 1).await.status, 201);
    app.finish().await;
}

#[tokio::test]
async fn a_caller_waiting_for_a_payment_takes_no_permit() {
    let app = with_places(1).await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let (body, wait) = (booking(flight, 1), [("prefer", "wait=30")]);
    let waiting = || app.send_json_with(Method::POST, PATH, &body, &wait);
    let (mut one, mut other) = (Box::pin(waiting()), Box::pin(waiting()));
    waits_for_its_payment(&app, 1, &mut one).await;
    waits_for_its_payment(&app, 2, &mut other).await;
    assert_eq!(app.book(flight, 1).await.json["status"], "pending");
    app.gateway.open();
    assert_eq!(one.await.json["status"], "completed");
    assert_eq!(other.await.json["status"], "completed");
    app.finish().await;
}

#[tokio::test]
async fn callers_waiting_for_one_booking_each_count() {
    let app = TestApp::with(|config| config.max_waiting = 1).await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let (body, headers) =
        (booking(flight, 1), [("prefer", "wait=30"), ("idempotency-key", "order-7")]);
    let waiting = || app.send_json_with(Method::POST, PATH, &body, &headers);
    let mut first = Box::pin(waiting());
    waits_for_its_payment(&app, 1, &mut first).await;
    let second = waiting().await;
    assert_eq!(second.json["status"], "pending");
    assert_eq!(second.header("preference-applied"), None);
    app.gateway.open();
    assert_eq!(first.await.json["booking_id"], second.json["booking_id"]);
    app.finish().await;
}

#[tokio::test]
async fn a_hanging_request_times_out_whatever_the_caller_prefers() {
    let app = TestApp::with(|config| config.server_write_timeout = Duration::from_secs(1)).await;
    let flight = app.add_flight(9).await;
    app.faults.strike_reads(Some(ReadFault::Hangs));
    let request = Request::get(format!("/api/v1/flights/{flight}")).header("prefer", "wait=60");
    let answer = app.send(request.body(Body::empty()).expect("a request"));
    let answer = tokio::time::timeout(IN_TIME, answer).await.expect("in time");
    answer.assert_problem(503, "unavailable");
    assert!(answer.json["detail"].as_str().expect("text").contains("SERVER_WRITE_TIMEOUT"));
    app.faults.strike_reads(None);

    // Where it may wait, the time that it waits is its own.
    app.gateway.close();
    let (body, wait) = (booking(flight, 1), [("prefer", "wait=1")]);
    let placed = app.send_json_with(Method::POST, PATH, &body, &wait).await;
    assert_eq!(
        (placed.status.as_u16(), placed.header("preference-applied")),
        (201, Some("wait=1"))
    );
    app.finish().await;
}

#[tokio::test]
async fn a_panic_fails_only_its_request() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let path = format!("/api/v1/flights/{flight}");
    app.faults.strike_reads(Some(ReadFault::Panics));
    let request = Request::get(&path).header("x-request-id", "the-request-id");
    let answer = app.send(request.body(Body::empty()).expect("a request")).await;
    answer.assert_problem(500, "internal");
    assert_eq!(answer.json["request_id"], "the-request-id");
    assert!(!answer.text.contains("planted"), "{}", answer.text);
    app.faults.strike_reads(None);
    assert_eq!(app.get(&path).await.status, 200);
    app.finish().await;
}
