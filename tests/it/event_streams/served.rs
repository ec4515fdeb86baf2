//! Streams of replicas as real processes.

use crate::support::booking;
use crate::support::eventually;
use crate::support::kafka;
use crate::support::replicas::Replicas;
use crate::support::streams::EventStream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Streams at once; `EVENT_STREAMS` sets another number.
fn streams() -> usize {
    std::env::var("EVENT_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

async fn follow(replicas: &Replicas, replica: usize, path: &str, after: &str) -> EventStream {
    // Each stream has a connection of its own, so the pool of the others stays free.
    let client = reqwest::Client::builder().build().expect("a client");
    let request = client.get(replicas.url(replica, path)).header("last-event-id", after);
    EventStream::received(request.send().await.expect("an answer"))
}

async fn change_price(replicas: &Replicas, flight: i64, price: f64) {
    let url = replicas.url(0, &format!("/api/v1/flights/{flight}"));
    let changed = replicas.client.put(url).json(&json!({"price": price})).send().await;
    assert_eq!(changed.expect("an answer").status(), 200);
}

/// Reads on to the event of a flight with this price.
async fn price(stream: &mut EventStream, price: f64) -> Value {
    loop {
        let event = stream.expect().await;
        if event.data["data"]["price"] == json!(price) {
            return event.data;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_two_replicas_follow_a_flight_while_it_is_sold_out() {
    let count = streams();
    let replicas = Replicas::new()
        .await
        .with("RATE_LIMIT_RPS", "0")
        .with("MAX_CONNECTIONS_PER_CLIENT", "100000")
        .start(2)
        .await;
    let flight = replicas.add_flight(60).await;
    let path = format!("/api/v1/flights/{flight}/events");
    let mut open = Vec::new();
    for number in 0..count {
        let mut stream = follow(&replicas, number % 2, &path, "").await;
        assert_eq!(stream.expect().await.kind, "state");
        open.push(stream);
    }
    let mut slowest = Duration::ZERO;
    for number in 0..60 {
        let began = Instant::now();
        let url = replicas.url(number % 2, "/api/v1/bookings");
        let answer = replicas.client.post(url).json(&booking(flight, 1)).send().await;
        assert_eq!(answer.expect("an answer").status(), 201, "booking {number}");
        slowest = slowest.max(began.elapsed());
        if number % 6 == 5 {
            change_price(&replicas, flight, 3_000.0 + number as f64).await;
        }
    }
    eprintln!("{count} streams: the slowest of 60 bookings took {slowest:?}");
    for stream in &mut open {
        let mut seen = BTreeSet::new();
        for _ in (5..60).step_by(6) {
            let event = stream.expect().await;
            assert_eq!(event.kind, "flight.updated");
            assert!(seen.insert(event.data["id"].to_string()), "{seen:?}");
        }
    }
    replicas.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_the_time_outs_and_resumes_on_another_replica() {
    let mut replicas = Replicas::new()
        .await
        .with("SERVER_IDLE_TIMEOUT", "1s")
        .with("SERVER_WRITE_TIMEOUT", "2s")
        .start(2)
        .await;
    let flight = replicas.add_flight(60).await;
    let path = format!("/api/v1/flights/{flight}/events");
    let mut stream = follow(&replicas, 1, &path, "").await;
    stream.expect().await;
    tokio::time::sleep(Duration::from_secs(17)).await;
    change_price(&replicas, flight, 2_600.0).await;
    price(&mut stream, 2_600.0).await;
    let last = stream.last_id.clone();
    replicas.servers.remove(1).kill().await;
    assert_eq!(stream.next().await, None);
    change_price(&replicas, flight, 2_700.0).await;
    let mut again = follow(&replicas, 0, &path, &last).await;
    assert_eq!(again.expect().await.kind, "state");
    price(&mut again, 2_700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_ends_streams_and_their_ids() {
    let replicas = Replicas::new().await.start(1).await;
    let flight = replicas.add_flight(60).await;
    let path = format!("/api/v1/flights/{flight}/events");
    replicas.outbox_is_empty().await;
    let mut stream = follow(&replicas, 0, &path, "").await;
    stream.expect().await;
    change_price(&replicas, flight, 2_600.0).await;
    price(&mut stream, 2_600.0).await;
    let last = stream.last_id.clone();
    let topic = replicas.setting("KAFKA_TOPIC_EVENTS");
    kafka::delete(replicas.setting("KAFKA_BROKERS"), &[topic], Some(4)).await;
    eventually("a refusal of the id", async || {
        change_price(&replicas, flight, 2_700.0).await;
        change_price(&replicas, flight, 2_600.0).await;
        let request = replicas.client.get(replicas.url(0, &path)).header("last-event-id", &last);
        let status = request.send().await.expect("an answer").status().as_u16();
        if status == 410 { Ok(()) } else { Err(status) }
    })
    .await;
    let mut fresh = follow(&replicas, 0, &path, "").await;
    fresh.expect().await;
    change_price(&replicas, flight, 2_800.0).await;
    price(&mut fresh, 2_800.0).await;
}
