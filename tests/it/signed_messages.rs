//! Which messages on Kafka are believed, by their signatures.

use crate::support::kafka::{count, stored, write};
use crate::support::replicas::Replicas;
use crate::support::{TestApp, booking, equal, eventually};
use airline_booking::bus::Bus;
use airline_booking::messages::{Headers, Message, SIGNATURE, Signatures, Topic};
use axum::body::Body;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the test that is long enough to be one";
const NEXT: &str = "the next secret of the test that is long enough too";

async fn book(replicas: &Replicas, flight: i64) -> Value {
    let post = replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&booking(flight, 2));
    post.send().await.expect("sent").json().await.expect("JSON")
}

async fn completes(replicas: &Replicas, placed: &Value) {
    let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
    eventually("a completed booking", async || {
        equal(replicas.get(0, &path).await["status"].clone(), "completed")
    })
    .await;
}

/// What another team's provider says, signed with this secret or not.
async fn say(replicas: &Replicas, placed: &Value, secret: Option<&str>) {
    let topic = replicas.setting("KAFKA_TOPIC_PAYMENTS");
    let event = json!({
        "booking_id": placed["booking_id"], "payment_reference_id": placed["payment_reference_id"],
        "amount": 5000.0, "status": "completed", "timestamp": "2025-01-01T00:00:00Z"
    });
    let (key, headers) = (placed["booking_id"].to_string(), Headers::default());
    let message = Message { key, payload: event.to_string(), headers, origin: None };
    let signature = secret
        .map(|secret| Signatures::new([secret], true).expect("a secret").sign(topic, &message));
    let headers = signature.iter().fold(OwnedHeaders::new(), |headers, value| {
        headers.insert(Header { key: SIGNATURE, value: Some(value) })
    });
    let (key, payload) = (message.key.as_bytes(), message.payload.as_bytes());
    write(replicas.setting("KAFKA_BROKERS"), topic, Some(key), Some(payload), headers).await;
}

async fn letters(replicas: &Replicas, count: usize) -> Vec<String> {
    let topic = format!("{}.dlq", replicas.setting("KAFKA_TOPIC_PAYMENTS"));
    let letters = stored(replicas.setting("KAFKA_BROKERS"), &topic, count).await;
    letters.iter().map(|l| l.headers.get("dlq_reason").expect("a reason").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signed_events_complete_a_booking_where_signatures_are_required() {
    let replicas = Replicas::new()
        .await
        .with("ROLES", "api,relay,settlement,sweeper")
        .with("EVENTS_SECRET", SECRET)
        .with("EVENTS_REQUIRE", "true")
        .start(1)
        .await;
    let flight = replicas.add_flight(10).await;
    let placed = book(&replicas, flight).await;
    replicas.outbox_is_empty().await;
    say(&replicas, &placed, None).await;
    say(&replicas, &placed, Some(NEXT)).await;
    let reasons = letters(&replicas, 2).await;
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("EVENTS_REQUIRE"), "{reasons:?}");
    assert!(reasons[1].contains("no secret of EVENTS_SECRET"), "{reasons:?}");
    let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
    assert_eq!(replicas.get(0, &path).await["status"], "pending");
    say(&replicas, &placed, Some(SECRET)).await;
    completes(&replicas, &placed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_required_signatures_an_unsigned_event_passes_and_a_forged_one_does_not() {
    let replicas = Replicas::new()
        .await
        .with("ROLES", "api,relay,settlement,sweeper")
        .with("EVENTS_SECRET", SECRET)
        .start(1)
        .await;
    let flight = replicas.add_flight(10).await;
    let placed = book(&replicas, flight).await;
    replicas.outbox_is_empty().await;
    say(&replicas, &placed, Some(NEXT)).await;
    assert_eq!(letters(&replicas, 1).await.len(), 1);
    let path = format!("/api/v1/bookings/{}", placed["booking_id"]);
    assert_eq!(replicas.get(0, &path).await["status"], "pending");
    say(&replicas, &placed, None).await;
    completes(&replicas, &placed).await;
}

/// Replicas of each step side by side with those of the step before, all of which require signatures.
#[tokio::test(flavor = "multi_thread")]
async fn every_booking_completes_during_a_rolling_secret_change() {
    let steps =
        [SECRET.into(), format!("{SECRET},{NEXT}"), format!("{NEXT},{SECRET}"), NEXT.into()];
    let mut replicas = Replicas::new().await.with("EVENTS_REQUIRE", "true");
    replicas = replicas.with("EVENTS_SECRET", &steps[0]).start(1).await;
    let flight = replicas.add_flight(100).await;
    for next in &steps[1..] {
        if *next == NEXT {
            // From here on a message that comes a second time may bear the secret that is gone.
            let topic = format!("{}.dlq", replicas.setting("KAFKA_TOPIC_PAYMENTS"));
            assert_eq!(count(replicas.setting("KAFKA_BROKERS"), &topic).await, 0);
        }
        replicas = replicas.with("EVENTS_SECRET", next).start(1).await;
        for _ in 0..4 {
            let placed = book(&replicas, flight).await;
            completes(&replicas, &placed).await;
        }
        replicas.outbox_is_empty().await;
        assert!(replicas.servers.remove(0).terminate().await, "a clean end");
    }
}

#[tokio::test]
async fn a_forged_completion_event_does_not_end_a_callers_wait() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let forge = async {
        eventually("a gateway call", async || app.gateway.held_back() > 0).await;
        let mut ended = app.booking(1).await;
        ended["status"] = json!("completed");
        ended["booking_price"] = json!(0.01);
        let mut headers = Headers::default();
        headers.set("ce_type", "booking.completed");
        let (key, payload) = (flight.to_string(), ended.to_string());
        let forged = Message { key, payload, headers, origin: None };
        app.bus.publish(&[(Topic::AirlineEvents, forged)]).await.expect("published");
        // The listener takes its turn before the gateway answers.
        tokio::task::yield_now().await;
        app.gateway.open();
    };
    let request = http::Request::post("/api/v1/bookings")
        .header("content-type", "application/json")
        .header("prefer", "wait=30")
        .body(Body::from(booking(flight, 2).to_string()))
        .expect("a request");
    let (answer, ()) = tokio::join!(app.send(request), forge);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json["status"], "completed");
    assert_eq!(answer.json["booking_price"], 5000.0);
    app.finish().await;
}
