//! From a hold to its end: capture, decline, expiry, cancellation, and late events.

use crate::support::TestApp;
use airline_booking::bus::Bus;
use airline_booking::domain::{PaymentEvent, PaymentOutcome};
use airline_booking::messages::{Message, Topic};
use serde_json::{Value, json};
use std::time::Duration;

const AFTER_THE_HOLD: Duration = Duration::from_secs(301);

/// available, held and blocked seats.
async fn seats(app: &TestApp, flight: i64) -> [i64; 3] {
    let flight = app.flight(flight).await;
    ["available_seats", "held_seats", "blocked_seats"]
        .map(|field| flight[field].as_i64().expect("a count"))
}

async fn status(app: &TestApp, booking: i64) -> [Value; 2] {
    let mut booking = app.booking(booking).await;
    ["status", "failure_reason"].map(|field| booking[field].take())
}

/// What another party would say on `payment-events`.
async fn tell(app: &TestApp, booking: i64, amount: &str, status: PaymentOutcome) {
    let stored = app.booking(booking).await;
    let event = PaymentEvent {
        booking_id: serde_json::from_value(stored["id"].clone()).expect("an id"),
        payment_reference_id: serde_json::from_value(stored["payment_reference_id"].clone())
            .expect("a reference"),
        refund_id: None,
        amount: amount.parse().expect("an amount"),
        status,
        timestamp: super::support::start_of_test(),
    };
    app.bus
        .publish(&[(Topic::PaymentEvents, Message::from(&event))])
        .await
        .expect("the bus takes it");
}

#[tokio::test]
async fn seats_are_held_while_a_payment_is_pending_and_sold_once_captured() {
    let app = TestApp::start().await;
    let flight = app.add_flight(10).await;
    app.gateway.close();
    let booking = app.book(flight, 3).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(seats(&app, flight).await, [10, 3, 0]);
    assert_eq!(status(&app, booking).await, [json!("pending"), Value::Null]);

    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(seats(&app, flight).await, [7, 0, 0]);
    assert_eq!(status(&app, booking).await, [json!("completed"), Value::Null]);
    app.finish().await;
}

#[tokio::test]
async fn a_declined_payment_gives_the_seats_back() {
    let app = TestApp::start().await;
    let flight = app.add_flight(2).await;
    let booking = app.book_paid_by(flight, 2, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    assert_eq!(status(&app, booking).await, [json!("failed"), json!("payment_declined")]);
    assert_eq!(seats(&app, flight).await, [2, 0, 0]);
    app.finish().await;
}

#[tokio::test]
async fn a_capture_after_its_hold_expired_is_reversed() {
    let app = TestApp::start().await;
    let flight = app.add_flight(2).await;
    app.gateway.close();
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    app.pass(AFTER_THE_HOLD).await;
    assert_eq!(status(&app, booking).await, [json!("failed"), json!("hold_expired")]);
    assert_eq!(seats(&app, flight).await, [2, 0, 0]);

    let next = app.book(flight, 2).await.booking_id();
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(status(&app, booking).await, [json!("failed"), json!("hold_expired")]);
    assert_eq!(status(&app, next).await, [json!("completed"), Value::Null]);
    app.finish().await;
}

#[tokio::test]
async fn a_payment_that_always_fails_expires_with_its_hold() {
    let app = TestApp::start().await;
    let flight = app.add_flight(2).await;
    let booking = app.book_paid_by(flight, 2, "pm_card_error").await.booking_id();
    app.run_until_idle().await;
    assert_eq!(status(&app, booking).await, [json!("pending"), Value::Null]);
    app.pass(Duration::from_secs(60)).await;
    app.run_until_idle().await;
    app.pass(AFTER_THE_HOLD).await;
    app.run_until_idle().await;
    assert_eq!(status(&app, booking).await, [json!("failed"), json!("hold_expired")]);
    assert_eq!(seats(&app, flight).await, [2, 0, 0]);
    app.finish().await;
}

#[tokio::test]
async fn a_capture_that_timed_out_is_retried_and_charged_once() {
    let app = TestApp::start().await;
    let flight = app.add_flight(2).await;
    let booking = app.book_paid_by(flight, 1, "pm_card_timeout").await.booking_id();
    app.run_until_idle().await;
    assert_eq!(status(&app, booking).await, [json!("completed"), Value::Null]);
    app.finish().await;
}

#[tokio::test]
async fn cancelling_gives_seats_and_money_back_once() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{booking}/cancel");
    for _ in 0..2 {
        let cancelled = app.post(&path, &json!({})).await;
        assert_eq!(
            (cancelled.status.as_u16(), &cancelled.json["status"]),
            (200, &json!("cancelled"))
        );
        app.run_until_idle().await;
        assert_eq!(seats(&app, flight).await, [5, 0, 0]);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_pending_booking_that_is_cancelled_is_never_charged() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    app.gateway.close();
    let booking = app.book(flight, 2).await.booking_id();
    app.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
    assert_eq!(seats(&app, flight).await, [5, 0, 0]);
    app.finish().await;
}

#[tokio::test]
async fn a_cancelled_flight_cancels_and_refunds_its_bookings() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let paid = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    app.gateway.close();
    let pending = app.book(flight, 1).await.booking_id();
    let cancelled = json!({"flight_status": "cancelled"});
    let put = app.put(&format!("/api/v1/flights/{flight}"), &cancelled).await;
    assert_eq!(put.status, 200);
    app.pass(Duration::ZERO).await;
    app.gateway.open();
    app.run_until_idle().await;
    for booking in [paid, pending] {
        assert_eq!(status(&app, booking).await, [json!("cancelled"), Value::Null]);
    }
    assert_eq!(seats(&app, flight).await, [5, 0, 0]);
    app.book(flight, 1).await.assert_problem(409, "flight_not_bookable");
    app.finish().await;
}

#[tokio::test]
async fn duplicate_and_out_of_order_events_change_nothing() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    let before = app.flight(flight).await;
    tell(&app, booking, "5000.00", PaymentOutcome::Completed).await;
    tell(&app, booking, "5000.00", PaymentOutcome::Failed).await;
    assert_eq!(app.flight(flight).await, before);
    assert_eq!(status(&app, booking).await, [json!("completed"), Value::Null]);
    app.finish().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_becomes_a_dead_letter_with_its_reason() {
    let app = TestApp::start().await;
    let flight = app.add_flight(5).await;
    app.gateway.close();
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    tell(&app, booking, "4999.99", PaymentOutcome::Completed).await;
    let mut garbage = Message::from(&PaymentEvent {
        booking_id: serde_json::from_value(json!(1)).expect("an id"),
        payment_reference_id: "PAY-00000000000000000000000000000000".parse().expect("a reference"),
        refund_id: None,
        amount: "1.00".parse().expect("an amount"),
        status: PaymentOutcome::Completed,
        timestamp: super::support::start_of_test(),
    });
    app.bus.publish(&[(Topic::PaymentEvents, garbage.clone())]).await.expect("published");
    garbage.payload = "garbage".into();
    for topic in [Topic::PaymentEvents, Topic::PaymentRequests] {
        app.bus.publish(&[(topic, garbage.clone())]).await.expect("published");
    }

    assert_eq!(status(&app, booking).await, [json!("pending"), Value::Null]);
    let letters = app.bus.take_dead_letters();
    let reasons: Vec<_> =
        letters.iter().map(|letter| letter.headers.get("dlq_reason").expect("a reason")).collect();
    assert!(reasons[0].contains("5000.00"), "{reasons:?}");
    assert!(reasons[1].contains("there is no payment"), "{reasons:?}");
    assert!(reasons[2..].iter().all(|reason| reason.contains("malformed")), "{reasons:?}");
    assert_eq!(letters.len(), 4);
    app.finish().await;
}

#[tokio::test]
async fn every_change_is_published_without_passenger_data() {
    let app = TestApp::start().await;
    let mut airline = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let mut seats_moved = app.bus.listen(Topic::FlightBookings).await.expect("a listener");
    let mut requests = app.bus.listen(Topic::PaymentRequests).await.expect("a listener");
    let flight = app.add_flight(5).await;
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    app.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
    app.run_until_idle().await;

    let told = airline.receive(99).await.expect("events");
    let kinds: Vec<_> = told.iter().map(|m| m.headers.get("ce_type").expect("a type")).collect();
    let ended = ["flight.created", "booking.completed", "booking.cancelled"];
    assert_eq!(kinds[..3], ended);
    assert_eq!(kinds[3..], ["refund.requested", "refund.done"]);
    let versions: Vec<_> = told.iter().map(|m| m.headers.get("ce_flightversion")).collect();
    assert_eq!(versions, [Some("1"), Some("3"), Some("4"), None, None], "of what shows the flight");
    assert!(told.iter().all(|m| m.key == flight.to_string()));
    assert!(told.iter().all(|m| !m.payload.contains("Asha") && !m.payload.contains("metadata")));

    let moved: Vec<Value> = seats_moved
        .receive(99)
        .await
        .expect("events")
        .iter()
        .map(|m| serde_json::from_str::<Value>(&m.payload).expect("JSON")["seats_booked"].clone())
        .collect();
    assert_eq!(moved, [json!(2), json!(-2)]);

    let asked = requests.receive(99).await.expect("requests");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|m| m.key == booking.to_string()));
    assert!(asked[0].headers.get("ce_holdexpiresat").is_some());
    let actions: Vec<Value> = asked
        .iter()
        .map(|m| serde_json::from_str::<Value>(&m.payload).expect("JSON")["action"].clone())
        .collect();
    assert_eq!(actions, [json!("capture"), json!("refund")]);
    app.finish().await;
}
