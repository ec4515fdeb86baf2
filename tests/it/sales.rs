//! A flight's sales by day, from the topic to the answer.

use crate::support::{Answer, TestApp};
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Message, Topic};
use serde_json::{Value, json};
use std::time::Duration;

async fn sales(app: &TestApp, flight: i64) -> Answer {
    app.get(&format!("/api/v1/flights/{flight}/sales")).await
}

async fn cancel(app: &TestApp, booking: i64, body: Value) {
    let cancelled = app.post(&format!("/api/v1/bookings/{booking}/cancel"), &body).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    app.run_until_idle().await;
}

#[tokio::test]
async fn sold_and_returned_seats_count_on_their_days_once_also_if_messages_come_again() {
    let app = TestApp::start().await;
    let mut moved = app.bus.listen(Topic::FlightBookings).await.expect("a listener");
    let flight = app.add_flight(9).await;
    assert_eq!(sales(&app, flight).await.json, json!({"flight_id": flight, "days": []}));
    let booking = app.book(flight, 3).await.booking_id();
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    cancel(&app, booking, json!({"passengers": [0]})).await;
    app.pass(Duration::from_secs(24 * 3_600)).await;
    cancel(&app, booking, json!({"passengers": [1]})).await;
    cancel(&app, booking, json!({})).await;

    let expected = json!({"flight_id": flight, "days": [
        {"date": "2025-01-01", "sold": 4, "returned": 1},
        {"date": "2025-01-02", "sold": 0, "returned": 2},
    ]});
    assert_eq!(sales(&app, flight).await.json, expected);
    let mut again = moved.receive(99).await.expect("messages");
    assert_eq!(again.len(), 5);
    again.reverse();
    again.extend(again.clone());
    let again: Vec<_> = again.into_iter().map(|message| (Topic::FlightBookings, message)).collect();
    app.bus.publish(&again).await.expect("published");
    app.run_until_idle().await;
    assert_eq!(sales(&app, flight).await.json, expected);
    app.finish().await;
}

#[tokio::test]
async fn messages_that_are_unreadable_or_of_no_version_of_the_flight_count_nothing() {
    let app = TestApp::start().await;
    let mut moved = app.bus.listen(Topic::FlightBookings).await.expect("a listener");
    let flight = app.add_flight(9).await;
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let told = moved.receive(99).await.expect("a message").remove(0);
    let with_version = |version: &str| {
        let mut message = told.clone();
        message.headers.set("ce_flightversion", version);
        message
    };
    let foreign = [
        with_version("999"),
        with_version("x"),
        Message { payload: "{}".into(), ..told.clone() },
        Message {
            payload: told.payload.replace(&format!(":{flight},"), ":999999,"),
            ..told.clone()
        },
    ];
    let foreign: Vec<_> =
        foreign.into_iter().map(|message| (Topic::FlightBookings, message)).collect();
    app.bus.publish(&foreign).await.expect("published");
    app.run_until_idle().await;
    let days = json!([{"date": "2025-01-01", "sold": 1, "returned": 0}]);
    assert_eq!(sales(&app, flight).await.json["days"], days);
    sales(&app, 999_999).await.assert_problem(404, "not_found");
    sales(&app, 0).await.assert_problem(404, "not_found");
    app.finish().await;
}
