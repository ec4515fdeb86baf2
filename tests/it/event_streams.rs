//! `GET /flights/{id}/events` and `GET /bookings/{id}/events`: server-sent events.

mod served;
mod tickets;

use crate::support::TestApp;
use crate::support::streams::EventStream;
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Headers, Message, Topic};
use axum::body::Body;
use axum::response::Response;
use http::Request;
use serde_json::{Value, json};

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

/// The id of a change of a flight.
fn updated(flight: i64, version: i32) -> Value {
    json!(format!("flight.updated/{flight}/{version}"))
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
    for kind in ["booking.cancelled", "refund.requested", "refund.done"] {
        let event = stream.expect().await;
        assert_eq!((event.kind.as_str(), &event.data["flight_id"]), (kind, &json!(flight)));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_forged_message_shows_a_stream_neither_another_booking_nor_another_flight() {
    let app = TestApp::start().await;
    let flights = [app.add_flight(9).await, app.add_flight(9).await];
    let mine = app.book(flights[0], 1).await.booking_id();
    let other = app.book(flights[1], 1).await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{mine}/events");
    let mut streams =
        [follow(&app, &path, "").await, follow(&app, &of_flight(flights[0]), "").await];
    for stream in &mut streams {
        assert_eq!(stream.expect().await.kind, "state");
    }
    for (kind, named) in [
        ("booking.completed", other.to_string()),
        ("flight.updated", format!("{}/1", flights[1])),
        ("flight.cancelled", format!("{}/1", flights[0])),
    ] {
        let id = format!("{kind}/{named}");
        let headers = [("ce_type", kind), ("ce_id", &*id), ("ce_time", "2025-01-01T00:00:00Z")];
        let (key, headers) = (flights[0].to_string(), Headers::from_iter(headers));
        let payload = json!({"id": mine, "booking_id": mine}).to_string();
        let forged = Message { key, payload, headers, origin: None };
        app.bus.publish(&[(Topic::AirlineEvents, forged)]).await.expect("published");
    }
    let cancelled = app.post(&format!("/api/v1/bookings/{mine}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    change_price(&app, flights[0], 2_600.0).await;
    let [of_booking, of_flight] = &mut streams;
    assert_eq!(of_booking.expect().await.kind, "booking.cancelled");
    let updated = of_flight.expect().await;
    assert_eq!(
        (&*updated.kind, &updated.data["data"]["id"]),
        ("flight.updated", &json!(flights[0]))
    );
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
    let mut latest = 5;
    for (after, first) in [(&seen.id, 4), (&begun, 3), (&long_ago, 2)] {
        let mut again = follow(&app, &of_flight(flight), after).await;
        let state = again.expect().await;
        assert_eq!((&state.id, &state.data), (after, &app.flight(flight).await));
        for version in first..=latest {
            assert_eq!(again.expect().await.data["id"], updated(flight, version), "after {after}");
        }
        latest += 1;
        let price = 2_500.0 + f64::from(latest);
        change_price(&app, flight, price).await;
        let live = again.expect().await.data;
        assert_eq!(
            (&live["id"], &live["data"]["price"]),
            (&updated(flight, latest), &json!(price))
        );
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
    let (mut seen, mut last) = (Vec::new(), begun);
    while let Some(event) = stream.next().await {
        seen.push(event.data["id"].clone());
        last = event.id;
    }
    assert!(seen.len() < 300, "{}", seen.len());
    let mut again = follow(&app, &of_flight(flight), &last).await;
    again.expect().await;
    while seen.len() < 300 {
        seen.push(again.expect().await.data["id"].clone());
    }
    assert_eq!(seen, (2..=301).map(|version| updated(flight, version)).collect::<Vec<_>>());
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
    assert_eq!(app.app.metrics.event_streams_refused.get(), 1);
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
