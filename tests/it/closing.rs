//! The clock ends sale, search and refunds to travellers. A flight created after its departure has no
//! departure for these rules.

use crate::support::redis::Server;
use crate::support::{Answer, TestApp, booking, config, flight};
use airline_booking::cache::SearchCache;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::cache::redis::RedisCache;
use airline_booking::clock::Clock as _;
use airline_booking::domain::{DayKey, FlightId, Timestamp, route_key};
use airline_booking::search::{Search, SearchSettings};
use airline_booking::telemetry::Tracing;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SEARCH: &str = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";

/// A flight from Delhi to Mumbai at this instant; gives its id.
async fn departing(app: &TestApp, at: &str) -> i64 {
    let mut body = flight(9);
    body["timestamp"] = json!(at);
    let answer = app.post("/api/v1/flights", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json["id"].as_i64().expect("an id")
}

/// Moves the clock to this instant.
fn move_to(app: &TestApp, instant: &str) {
    let instant: Timestamp = instant.parse().expect("an instant");
    app.clock.advance(instant - app.clock.now());
}

/// The flights that the search of a day finds.
async fn found_on(app: &TestApp, date: &str) -> Vec<i64> {
    let path = SEARCH.replace("2025-01-20", date);
    let answer = app.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let flights = answer.json["flights"].as_array().expect("flights");
    assert_eq!(answer.json["count"], flights.len());
    flights.iter().map(|flight| flight["id"].as_i64().expect("an id")).collect()
}

async fn found(app: &TestApp) -> Vec<i64> {
    found_on(app, "2025-01-20").await
}

async fn cancel(app: &TestApp, booking: i64) -> Answer {
    app.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await
}

/// A completed booking of one seat.
async fn completed(app: &TestApp, flight: i64) -> i64 {
    let id = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["status"], "completed");
    id
}

#[tokio::test]
async fn sale_ends_at_the_departure() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    move_to(&app, "2025-01-20T09:59:59.999999Z");
    app.book(id, 1).await.booking_id();
    app.run_until_idle().await;
    app.clock.advance(TimeDelta::microseconds(1));
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_with_the_same_key_gets_its_answer_after_the_departure() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    move_to(&app, "2025-01-20T09:00:00Z");
    let book = || {
        let key = [("idempotency-key", "one")];
        let body = booking(id, 1);
        let app = &app;
        async move { app.send_json_with(http::Method::POST, "/api/v1/bookings", &body, &key).await }
    };
    let first = book().await;
    app.run_until_idle().await;
    move_to(&app, "2025-01-20T11:00:00Z");
    let again = book().await;
    assert!(again.status.is_success(), "{again:?}");
    assert_eq!(first.json["booking_id"], again.json["booking_id"]);
    app.finish().await;
}

#[tokio::test]
async fn a_cached_search_drops_each_flight_when_it_closes() {
    let app = TestApp::start().await;
    let first = departing(&app, "2025-01-20T10:00:00Z").await;
    let second = departing(&app, "2025-01-20T12:00:00Z").await;
    app.run_until_idle().await;
    assert_eq!(found(&app).await, [first, second]);
    let tag = |answer: &Answer| answer.header("etag").expect("a tag").to_owned();
    let before = app.get(SEARCH).await;
    move_to(&app, "2025-01-20T10:00:00Z");
    assert_eq!(found(&app).await, [second]);
    let after = app.get(SEARCH).await;
    assert_ne!(tag(&before), tag(&after));
    let asked_again = http::Request::get(SEARCH).header("if-none-match", tag(&before));
    let changed = app.send(asked_again.body(axum::body::Body::empty()).expect("a request")).await;
    assert_eq!(changed.status, 200);
    let narrowed = app.get(&format!("{SEARCH}&seats=1")).await;
    assert_eq!(narrowed.json["count"], 1);
    move_to(&app, "2025-01-20T11:59:59Z");
    assert_eq!(found(&app).await, [second]);
    move_to(&app, "2025-01-20T12:00:00Z");
    assert_eq!(found(&app).await, Vec::<i64>::new());
    app.finish().await;
}

#[tokio::test]
async fn an_uncached_search_leaves_out_closed_flights() {
    let app = TestApp::start().await;
    departing(&app, "2025-01-20T10:00:00Z").await;
    let second = departing(&app, "2025-01-20T12:00:00Z").await;
    move_to(&app, "2025-01-20T11:00:00Z");
    assert_eq!(found(&app).await, [second]);
    app.finish().await;
}

#[tokio::test]
async fn a_traveller_gets_no_refund_and_gives_no_seat_back_after_the_departure() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let (early, late) = (completed(&app, id).await, completed(&app, id).await);
    move_to(&app, "2025-01-20T09:59:59Z");
    assert_eq!(cancel(&app, early).await.status, 200);
    app.run_until_idle().await;
    move_to(&app, "2025-01-20T10:00:00Z");
    let no_show = cancel(&app, late).await;
    // The price has no taxes.
    assert_eq!(
        (&no_show.json["status"], &no_show.json["refunds"]),
        (&json!("cancelled"), &json!([]))
    );
    assert_eq!(no_show.json["fee"], no_show.json["booking_price"]);
    assert_eq!(cancel(&app, early).await.status, 200, "a repeat is answered like the first");
    app.run_until_idle().await;
    assert_eq!(app.flight(id).await["available_seats"], 8);
    app.finish().await;
}

#[tokio::test]
async fn a_pending_booking_can_be_cancelled_after_the_departure() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    move_to(&app, "2025-01-20T09:59:59Z");
    app.gateway.close();
    let pending = app.book(id, 1).await.booking_id();
    move_to(&app, "2025-01-20T10:00:01Z");
    assert_eq!(cancel(&app, pending).await.status, 200);
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(app.booking(pending).await["status"], "cancelled");
    app.finish().await;
}

#[tokio::test]
async fn a_cancelled_flight_is_refunded_though_its_departure_has_passed() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let (by_traveller, by_airline) = (completed(&app, id).await, completed(&app, id).await);
    move_to(&app, "2025-01-20T11:00:00Z");
    let put = json!({"flight_status": "cancelled"});
    assert_eq!(app.put(&format!("/api/v1/flights/{id}"), &put).await.status, 200);
    assert_eq!(cancel(&app, by_traveller).await.status, 200);
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(by_airline).await["status"], "cancelled");
    app.finish().await;
}

#[tokio::test]
async fn a_flight_created_after_its_departure_never_closes() {
    let app = TestApp::start().await;
    // The clock shows the first instant of 2025: before it, and exactly then.
    for (at, date) in
        [("2024-06-01T10:00:00Z", "2024-06-01"), ("2025-01-01T00:00:00Z", "2025-01-01")]
    {
        let id = departing(&app, at).await;
        assert_eq!(found_on(&app, date).await, [id]);
        let booked = completed(&app, id).await;
        app.clock.advance(TimeDelta::days(400));
        assert_eq!(found_on(&app, date).await, [id]);
        let later = completed(&app, id).await;
        for booked in [booked, later] {
            assert_eq!(cancel(&app, booked).await.status, 200);
        }
        app.run_until_idle().await;
        assert_eq!(app.flight(id).await["available_seats"], 9);
        app.clock.advance(TimeDelta::days(-400));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_moved_flight_closes_by_its_new_departure() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let move_flight = |timestamp: &'static str| {
        let app = &app;
        async move {
            let put = json!({ "timestamp": timestamp });
            let answer = app.put(&format!("/api/v1/flights/{id}"), &put).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    };
    move_to(&app, "2025-01-20T10:30:00Z");
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    assert_eq!(found(&app).await, Vec::<i64>::new());
    // Late after all: it sells again until the new departure.
    move_flight("2025-01-20T11:00:00Z").await;
    assert_eq!(found(&app).await, [id]);
    let booked = completed(&app, id).await;
    move_to(&app, "2025-01-20T11:00:00Z");
    assert_eq!(found(&app).await, Vec::<i64>::new());
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    let quote = app.get(&format!("/api/v1/bookings/{booked}/cancellation")).await;
    assert_eq!(quote.json["rule"], "no-show", "{quote:?}");
    // To a time that passed after the creation: departed.
    move_flight("2025-01-10T10:00:00Z").await;
    assert_eq!(found_on(&app, "2025-01-10").await, Vec::<i64>::new());
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    // To a time before the creation: history.
    move_flight("2024-12-31T10:00:00Z").await;
    assert_eq!(found_on(&app, "2024-12-31").await, [id]);
    completed(&app, id).await;
    assert_eq!(cancel(&app, booked).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn sale_and_search_end_at_the_closing_time_and_refunds_at_the_departure() {
    let two_hours = Some(Duration::from_hours(2));
    let app = TestApp::with(|config| config.booking_closes_before = two_hours).await;
    let id = app.add_flight(9).await;
    let (early, late) = (completed(&app, id).await, completed(&app, id).await);
    move_to(&app, "2025-01-20T07:59:59Z");
    assert_eq!(found(&app).await, [id]);
    completed(&app, id).await;
    assert_eq!(found(&app).await, [id]);
    move_to(&app, "2025-01-20T08:00:00Z");
    assert_eq!(found(&app).await, Vec::<i64>::new());
    app.book(id, 1).await.assert_problem(409, "flight_not_bookable");
    move_to(&app, "2025-01-20T09:59:59Z");
    assert_eq!(cancel(&app, early).await.status, 200);
    move_to(&app, "2025-01-20T10:00:00Z");
    assert_eq!(cancel(&app, late).await.json["refunds"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn without_a_closing_time_flights_never_close() {
    let app = TestApp::with(|config| config.booking_closes_before = None).await;
    let id = app.add_flight(9).await;
    let booked = completed(&app, id).await;
    move_to(&app, "2025-06-01T00:00:00Z");
    assert_eq!(found(&app).await, [id]);
    completed(&app, id).await;
    assert_eq!(cancel(&app, booked).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn searches_leave_out_sold_out_departed_and_cancelled_flights() {
    let app = TestApp::start().await;
    let sold_out = departing(&app, "2025-01-20T06:00:00Z").await;
    app.book(sold_out, 9).await.booking_id();
    for status in ["departed", "cancelled"] {
        let id = departing(&app, "2025-01-20T08:00:00Z").await;
        let put: Value = json!({ "flight_status": status });
        assert_eq!(app.put(&format!("/api/v1/flights/{id}"), &put).await.status, 200);
    }
    let left = departing(&app, "2025-01-20T10:00:00Z").await;
    assert_eq!(found(&app).await, [left]);
    app.finish().await;
}

/// A search of a replica's own over the app's store and clock.
fn search(app: &TestApp, cache: Arc<dyn SearchCache>, closes_before: Option<TimeDelta>) -> Search {
    let settings = SearchSettings {
        zone: config().schedule_timezone,
        ttl: Duration::from_secs(60),
        entries_max: 10,
        closes_before,
    };
    let (store, clock, metrics) = (app.store.clone(), app.clock.clone(), app.app.metrics.clone());
    Search::new(store, cache, clock, settings, metrics, Tracing::default())
}

async fn found_by(search: &Search) -> Vec<FlightId> {
    let date = "2025-01-20".parse().expect("a date");
    let day = DayKey { route: route_key("Delhi", "Mumbai"), date };
    let answer = search.answer(day).await.expect("an answer");
    answer.flights.iter().map(|flight| flight.id).collect()
}

fn assert_counted(app: &TestApp, line: &str) {
    let counted = app.app.metrics.render();
    assert!(counted.contains(line), "{line} in {counted}");
}

#[tokio::test]
async fn a_flight_that_closes_causes_no_extra_store_reads() {
    let app = TestApp::start().await;
    let first = app.add_flight(9).await;
    let flights = [first, departing(&app, "2025-01-20T12:00:00Z").await].map(FlightId);
    let search = search(&app, Arc::new(MemoryCache::default()), Some(TimeDelta::zero()));
    assert_eq!(found_by(&search).await, flights);
    for (now, left) in [
        ("2025-01-20T10:00:00Z", &flights[1..]),
        ("2025-01-20T11:00:00Z", &flights[1..]),
        ("2025-01-20T12:00:00Z", &[]),
    ] {
        move_to(&app, now);
        assert_eq!(found_by(&search).await, left, "{now}");
    }
    assert_counted(&app, "cache_requests_total{layer=\"process\",result=\"miss\"} 1");
    assert_counted(&app, "cache_requests_total{layer=\"process\",result=\"hit\"} 3");
    app.finish().await;
}

#[tokio::test]
async fn replicas_share_answers_and_each_filters_closed_flights_by_its_own_setting() {
    let server = Server::start().await;
    let app = TestApp::start().await;
    let first = app.add_flight(9).await;
    let flights = [first, departing(&app, "2025-01-20T12:00:00Z").await].map(FlightId);
    let replica = |closes_before| {
        let (ttl, metrics) = (Duration::from_secs(60), app.app.metrics.clone());
        let cache = RedisCache::new(server.redis(), "search:", ttl, metrics);
        search(&app, Arc::new(cache), closes_before)
    };
    move_to(&app, "2025-01-20T09:00:00Z");
    assert_eq!(found_by(&replica(Some(TimeDelta::hours(2)))).await, flights[1..]);
    let at_departure = replica(Some(TimeDelta::zero()));
    assert_eq!(found_by(&at_departure).await, flights);
    move_to(&app, "2025-01-20T10:00:00Z");
    assert_eq!(found_by(&at_departure).await, flights[1..]);
    assert_eq!(found_by(&replica(Some(TimeDelta::zero()))).await, flights[1..]);
    assert_eq!(found_by(&replica(None)).await, flights);
    app.finish().await;
}
