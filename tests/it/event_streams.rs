//! `GET /flights/{id}/events` and `GET /bookings/{id}/events`: server-sent events.

mod served;
mod tickets;

use crate::support::TestApp;
use crate::support::streams::EventStream;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use serde_json::json;

/// Opens a stream, from an id on if there is one.
async fn open(app: &TestApp, path: &str, after: &str) -> Response {
    let request = Request::get(path).header("last-event-id", after);
    app.open(request.body(Body::empty()).expect("a request")).await
}

async fn follow(app: &TestApp, path: &str, after: &str) -> EventStream {
    EventStream::of(open(app, path, after).await)
}

async fn change_price(app: &TestApp, flight: i64, price: f64) {
    let changed = app.put(&format!("/api/v1/flights/{flight}"), &json!({"price": price})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    app.run_until_idle().await;
}

fn of_flight(flight: i64) -> String {
    format!("/api/v1/flights/{flight}/events")
}

#[tokio::test]
async fn a_flights_stream_begins_with_its_state_and_goes_on_with_its_own_events_alone() {
    let app = TestApp::start().await;
    let (flight, other) = (app.add_flight(9).await, app.add_flight(9).await);
    app.run_until_idle().await;
    let mut stream = follow(&app, &of_flight(flight), "").await;
    let state = stream.expect().await;
    assert_eq!((&*state.kind, &state.data), ("state", &app.flight(flight).await));
    change_price(&app, other, 2_600.0).await;
    assert_eq!(app.book(flight, 2).await.status, 201);
    app.run_until_idle().await;
    change_price(&app, flight, 2_700.0).await;
    let changed = stream.expect().await;
    assert_eq!((&*changed.kind, &changed.data["flight_id"]), ("flight.updated", &json!(flight)));
    assert_eq!(changed.data["data"], app.flight(flight).await);
    app.finish().await;
}

#[tokio::test]
async fn a_bookings_stream_has_its_events_and_stays_open_after_its_end() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let booking = app.book(flight, 1).await.booking_id();
    let path = format!("/api/v1/bookings/{booking}/events");
    let mut stream = follow(&app, &path, "").await;
    let state = stream.expect().await;
    assert_eq!((&*state.kind, &state.data["status"]), ("state", &json!("pending")));
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(app.book(flight, 2).await.status, 201);
    app.run_until_idle().await;
    let completed = stream.expect().await;
    assert_eq!(completed.kind, "booking.completed");
    assert_eq!(completed.data["data"]["id"], booking);
    let cancelled = app.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    app.run_until_idle().await;
    assert_eq!(stream.expect().await.kind, "booking.cancelled");
    app.finish().await;
}

#[tokio::test]
async fn a_stream_resumes_behind_the_last_event_of_late_or_of_long_ago() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.run_until_idle().await;
    let long_ago =
        app.get("/api/v1/events").await.json["next"].as_str().expect("a cursor").to_owned();
    change_price(&app, flight, 2_501.0).await;
    let mut stream = follow(&app, &of_flight(flight), "").await;
    let begun = stream.expect().await.id;
    change_price(&app, flight, 2_502.0).await;
    let seen = stream.expect().await;
    assert_eq!(seen.data["data"]["price"], json!(2502.0));
    drop(stream);
    change_price(&app, flight, 2_503.0).await;
    change_price(&app, flight, 2_504.0).await;
    for (after, first) in [(&seen.id, 2_503), (&begun, 2_502), (&long_ago, 2_501)] {
        let mut again = follow(&app, &of_flight(flight), after).await;
        let state = again.expect().await;
        assert_eq!((&state.id, &state.data), (after, &app.flight(flight).await));
        for price in first..=2_504 {
            let event = again.expect().await;
            assert_eq!(event.data["data"]["price"], json!(f64::from(price)), "after {after}");
        }
        change_price(&app, flight, 2_504.5).await;
        let live = again.expect().await;
        assert_eq!(live.data["data"]["price"], json!(2504.5));
        change_price(&app, flight, 2_504.0).await;
        drop(again);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_misses_nothing_when_it_resumes() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.run_until_idle().await;
    let mut stream = follow(&app, &of_flight(flight), "").await;
    let begun = stream.expect().await.id;
    for price in 0..300 {
        change_price(&app, flight, 3_000.0 + f64::from(price)).await;
    }
    let (mut prices, mut last) = (Vec::new(), begun);
    while let Some(event) = stream.next().await {
        prices.push(event.data["data"]["price"].as_f64().expect("a price"));
        last = event.id;
    }
    assert!(prices.len() < 300, "{}", prices.len());
    let mut again = follow(&app, &of_flight(flight), &last).await;
    again.expect().await;
    while prices.len() < 300 {
        let event = again.expect().await;
        prices.push(event.data["data"]["price"].as_f64().expect("a price"));
    }
    let all: Vec<_> = (0..300).map(|price| 3_000.0 + f64::from(price)).collect();
    assert_eq!(prices, all);
    app.finish().await;
}

#[tokio::test]
async fn streams_have_a_bound_of_their_own() {
    let app = TestApp::with(|config| config.max_event_streams = 1).await;
    let flight = app.add_flight(9).await;
    let first = follow(&app, &of_flight(flight), "").await;
    let second = open(&app, &of_flight(flight), "").await;
    assert_eq!(
        (second.status().as_u16(), second.headers().contains_key("retry-after")),
        (503, true)
    );
    drop(first);
    let mut third = follow(&app, &of_flight(flight), "").await;
    assert_eq!(third.expect().await.kind, "state");
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_id_of_a_stream_and_what_does_not_exist_is_refused() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    for (path, after, status) in [
        (of_flight(flight), "7", 400),
        (format!("{}?x=1", of_flight(flight)), "", 400),
        (of_flight(999), "", 404),
        ("/api/v1/bookings/999/events".to_owned(), "", 404),
    ] {
        assert_eq!(open(&app, &path, after).await.status().as_u16(), status, "{path}");
    }
    app.finish().await;
}
