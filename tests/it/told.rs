//! What `airline-events` tells beside flights and bookings, as readers of the topic see it.

use crate::support::{TestApp, booking, flight};
use airline_booking::bus::{Bus as _, Consumer};
use airline_booking::messages::Topic;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// The events since the last look, but for those of new flights: id, key and payload. None holds personal data.
pub async fn news(events: &mut dyn Consumer) -> Vec<(String, String, Value)> {
    let mut told = Vec::new();
    for message in events.receive(999).await.expect("events") {
        let id = message.headers.get("ce_id").expect("an id").to_owned();
        assert!(id.starts_with(message.headers.get("ce_type").expect("a type")), "{id}");
        assert!(!["Asha", "@", "metadata"].iter().any(|word| message.payload.contains(word)));
        if !id.starts_with("flight.created") {
            let payload = serde_json::from_str(&message.payload).expect("JSON");
            told.push((id, message.key, payload));
        }
    }
    told
}

fn ids(told: &[(String, String, Value)]) -> Vec<&str> {
    told.iter().map(|(id, ..)| &**id).collect()
}

#[tokio::test]
async fn a_moved_flight_is_told_beside_its_update_and_a_cancelled_one_is_not_moved() {
    let app = TestApp::start().await;
    let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let id = app.add_flight(3).await;
    let path = format!("/api/v1/flights/{id}");
    let put = async |body: Value| assert_eq!(app.put(&path, &body).await.status, 200);
    put(json!({"price": 9})).await;
    put(json!({"timestamp": "2025-01-21T10:00:00Z"})).await;
    put(json!({"timestamp": "2025-01-22T10:00:00Z", "flight_status": "cancelled"})).await;
    app.run_until_idle().await;
    let told = news(&mut *events).await;
    let expected = ["flight.updated/2", "flight.updated/3", "flight.moved/3", "flight.cancelled/4"]
        .map(|id_of| id_of.replace('/', &format!("/{id}/")));
    assert_eq!(ids(&told), expected);
    let before = flight(3)["timestamp"].clone();
    let moved = json!({
        "flight_id": id, "timestamp": "2025-01-21T10:00:00Z", "previous_timestamp": before,
    });
    assert_eq!(told[2].2, moved);
    app.finish().await;
}

#[tokio::test]
async fn an_itinerary_and_its_refunds_are_told_beside_its_bookings() {
    let app = TestApp::start().await;
    let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let mut flights = Vec::new();
    for day in [20, 21] {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-{day}T10:00:00Z"));
        body["arrival_timestamp"] = json!(format!("2025-01-{day}T12:00:00Z"));
        let made = app.post("/api/v1/flights", &body).await;
        flights.push(made.json["id"].as_i64().expect("an id"));
    }
    let mut body = booking(0, 2);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = json!([{"flight_id": flights[0]}, {"flight_id": flights[1]}]);
    let made = app.post("/api/v1/itineraries", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let order = made.json["itinerary_id"].as_i64().expect("an id");
    let second = made.json["bookings"][1]["booking_id"].as_i64().expect("an id");
    app.run_until_idle().await;
    let told = news(&mut *events).await;
    let expected = [
        format!("booking.completed/{order}"),
        format!("booking.completed/{second}"),
        format!("itinerary.completed/{order}"),
    ];
    assert_eq!(ids(&told), expected);
    let (_, key, payload) = &told[2];
    assert_eq!((key, &payload["flight_id"]), (&flights[0].to_string(), &json!(flights[0])));
    assert_eq!((&payload["segments"], &payload["status"]), (&json!(2), &json!("completed")));

    let path = format!("/api/v1/itineraries/{order}/cancel");
    for segment in [2, 1] {
        let cancelled = app.post(&path, &json!({"segments": [segment]})).await;
        assert_eq!(cancelled.status, 200, "{cancelled:?}");
        app.run_until_idle().await;
    }
    let told = news(&mut *events).await;
    let kinds: Vec<_> = told.iter().map(|(id, ..)| id.split('/').next().expect("a type")).collect();
    let expected = [
        "booking.cancelled",
        "refund.requested",
        "refund.done",
        "booking.cancelled",
        "itinerary.cancelled",
        "refund.requested",
        "refund.done",
    ];
    assert_eq!(kinds, expected);
    let (id, key, refund) = &told[2];
    let named = refund["refund_id"].as_str().expect("an id");
    assert_eq!(*id, format!("refund.done/{named}/2"));
    assert_eq!((key, &refund["booking_id"]), (&flights[1].to_string(), &json!(second)));
    assert_eq!((&refund["itinerary_id"], &refund["status"]), (&json!(order), &json!("done")));
    assert_eq!(told[6].1, flights[0].to_string());
    app.finish().await;
}

#[tokio::test]
async fn a_hold_that_is_paid_later_is_told_with_its_end_and_again_when_it_is_extended() {
    let app = TestApp::start().await;
    let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let flight = app.add_flight(3).await;
    let mut body = booking(flight, 1);
    body["payment"] = json!("later");
    let placed = app.post("/api/v1/bookings", &body).await;
    let id = placed.booking_id();
    app.clock.advance(TimeDelta::seconds(60));
    let extended = app.post(&format!("/api/v1/bookings/{id}/extend"), &json!({})).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    app.run_until_idle().await;
    let told = news(&mut *events).await;
    assert_eq!(ids(&told), [format!("booking.held/{id}/1"), format!("booking.held/{id}/2")]);
    assert_eq!(told[0].2["hold_expires_at"], placed.json["pay_by"]);
    assert_eq!(told[1].2["hold_expires_at"], extended.json["hold_expires_at"]);
    app.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    app.run_until_idle().await;
    assert_eq!(ids(&news(&mut *events).await), [format!("booking.cancelled/{id}")]);
    app.finish().await;
}
