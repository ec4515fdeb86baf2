//! Two replicas act as one service: no seat is sold twice, and both show each change.

use crate::support::redis::Server as RedisServer;
use crate::support::replicas::Replicas;
use crate::support::{TestDatabase, booking, eventually, within};
use futures::stream::{self, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

const CLIENTS: usize = 1_000;

/// How often a client repeats its request, a tenth of a second apart.
const REPEATS_MAX: usize = 300;

/// A thousand clients, `at_once` of them at a time, book one flight with half as many seats through both
/// replicas. `during` receives how many were answered.
async fn rush(
    replicas: &Replicas,
    at_once: usize,
    during: impl AsyncFnOnce(watch::Receiver<usize>),
) {
    let seats = CLIENTS / 2;
    let answered = watch::Sender::new(0);
    let flight = replicas.add_flight(seats as i32).await;
    let asks = (0..CLIENTS).map(|client| {
        let answered = &answered;
        async move {
            let answer = ask_until_answered(replicas, flight, client).await;
            answered.send_modify(|count| *count += 1);
            answer
        }
    });
    let answers = stream::iter(asks).buffer_unordered(at_once).collect::<Vec<_>>();
    let (answers, ()) = tokio::join!(answers, during(answered.subscribe()));
    let (sold, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(status, _)| *status == StatusCode::CREATED);
    assert_eq!(sold.len(), seats);
    for (status, problem) in refused {
        assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("insufficient_seats")));
    }
    let sold: Vec<Value> = sold.into_iter().map(|(_, booking)| booking).collect();
    replicas.expect_ended(&sold).await;
    let flight = replicas.get(1, &format!("/api/v1/flights/{flight}")).await;
    assert_eq!((&flight["available_seats"], &flight["held_seats"]), (&json!(0), &json!(0)));
}

/// Books a seat through one replica or the other. On a machine that is too busy a replica says so (503), and the client
/// repeats its request with its key.
async fn ask_until_answered(
    replicas: &Replicas,
    flight: i64,
    client: usize,
) -> (StatusCode, Value) {
    let mut body = booking(flight, 1);
    body["user_id"] = json!(client + 1);
    for _ in 0..REPEATS_MAX {
        let post = replicas.client.post(replicas.url(client % 2, "/api/v1/bookings"));
        let answer =
            post.header("idempotency-key", format!("rush-{flight}")).json(&body).send().await;
        let answer = answer.expect("an answer");
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            return (answer.status(), answer.json().await.expect("JSON"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("client {client} was told 503 for half a minute")
}

/// Rushes, one flight after the other, until both replicas have met on one: by chance they may take turns. Gives how
/// often they met, as this counter says.
async fn rush_until_they_meet(replicas: &Replicas, counter: &str) -> f64 {
    for _ in 0..10 {
        rush(replicas, CLIENTS, async |_| {}).await;
        let meetings = replicas.metric(0, counter).await + replicas.metric(1, counter).await;
        if meetings > 0.0 {
            return meetings;
        }
    }
    0.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_through_two_replicas_buy_exactly_the_available_seats() {
    let replicas = Replicas::new().await.start(2).await;
    let waits = rush_until_they_meet(&replicas, "booking_lock_waits_total").await;
    assert!(waits > 0.0, "two replicas on one flight wait for each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_locks_versions_alone_prevent_overselling() {
    let replicas = Replicas::new().await.with("FLIGHT_LOCKS", "false").start(2).await;
    let conflicts = rush_until_they_meet(&replicas, "booking_version_conflicts_total").await;
    assert!(conflicts > 0.0, "two replicas on one flight overtake each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_redis_during_a_rush_oversells_and_loses_nothing() {
    let mut redis = RedisServer::start().await;
    let database = TestDatabase::postgres().await.url();
    let brokers = crate::support::kafka::brokers();
    let replicas = Replicas::on(&database, &redis.url(), &brokers).start(2).await;
    let mut before = 0;
    // Few at once, so that most requests come after the crash.
    rush(&replicas, 50, async |mut answered| {
        answered.wait_for(|count| *count >= 200).await.expect("answers");
        redis.kill().await;
        before = *answered.borrow();
    })
    .await;
    assert!((200..CLIENTS - 200).contains(&before), "{before} were answered with Redis");
    let health = replicas.get(0, "/api/v1/health").await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["checks"]["redis"]["status"], "down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_one_replica_is_visible_on_the_other() {
    let replicas = Replicas::new().await.start(2).await;
    let flight = replicas.add_flight(9).await;
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let shown = async |replica| replicas.get(replica, search).await["flights"][0].clone();
    assert_eq!(shown(1).await["held_seats"], 0);

    // A booking's hold and its sale, then the operator's change: each is seen, in this order.
    let booked =
        replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&booking(flight, 2));
    assert_eq!(booked.send().await.expect("an answer").status(), StatusCode::CREATED);
    let sees = async |field: &'static str, value: Value| {
        within(
            Duration::from_secs(10),
            format!("{field} {value} at the other replica"),
            async || {
                let flight = shown(1).await;
                if flight[field] == value { Ok(()) } else { Err(flight) }
            },
        )
        .await;
    };
    sees("available_seats", json!(7)).await;
    let url = replicas.url(0, &format!("/api/v1/flights/{flight}"));
    let put = replicas.client.put(url).json(&json!({"price": "99.50"})).send().await;
    assert_eq!(put.expect("an answer").status(), StatusCode::OK);
    assert_eq!(shown(0).await["price"], 99.5, "who changed it sees it at once");
    sees("price", json!(99.5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_setting_reaches_its_service() {
    let database = TestDatabase::postgres().await.url();
    let place = database.strip_prefix("postgres://").expect("a URL");
    let (user, place) = place.split_once('@').expect("a user");
    let (host_and_port, name) = place.split_once('/').expect("a database");
    let (host, port) = host_and_port.split_once(':').expect("a port");
    let redis = crate::support::deployment::required("TEST_REDIS_URL");
    let redis = redis.strip_prefix("redis://").expect("a URL").to_owned();
    let (redis_host, redis_port) = redis.split_once(':').expect("a port");
    let replicas = Replicas::new()
        .await
        .with("DATABASE_URL", "")
        .with("DB_HOST", host)
        .with("DB_PORT", port)
        .with("DB_USER", user)
        .with("DB_PASSWORD", "not asked for")
        .with("DB_NAME", name)
        .with("REDIS_URL", "")
        .with("REDIS_HOST", redis_host)
        .with("REDIS_PORT", redis_port)
        .with("REDIS_DB", "3")
        .with("CACHE_TTL", "10m")
        .with("LOCK_TTL", "7m")
        .start(1)
        .await;
    // A busy machine may keep Redis longer than the 50 ms that a call has.
    let parts = ["database", "redis", "kafka"];
    eventually("health that says ok", async || {
        let health = replicas.get(0, "/api/v1/health").await;
        let is_ok = parts.iter().all(|part| health["checks"][part]["status"] == "ok");
        if is_ok { Ok(()) } else { Err(health) }
    })
    .await;
    let flight = replicas.add_flight(1).await;
    let placed =
        replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&booking(flight, 1));
    let placed: Value = placed.send().await.expect("sent").json().await.expect("JSON");
    let instant = |value: &Value| -> chrono::DateTime<chrono::Utc> {
        value.as_str().expect("an instant").parse().expect("an instant")
    };
    let id = placed["booking_id"].as_i64().expect("a number");
    let stored = replicas.get(0, &format!("/api/v1/bookings/{id}")).await;
    let held = instant(&stored["hold_expires_at"]) - instant(&stored["created_at"]);
    assert_eq!(held.num_minutes(), 7);
}
