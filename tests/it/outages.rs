//! Outages under load, with two replicas on PostgreSQL, Redis and Kafka: no answered booking is missing or
//! stuck, no answer is a 500, the audit is clean.

use crate::support::TestDatabase;
use crate::support::deployment::required;
use crate::support::kafka::Broker;
use crate::support::redis::Server as RedisServer;
use crate::support::replicas::{Load, Replicas};
use crate::support::services::Service;
use std::time::Duration;

/// How long an outage lasts: longer than the time-outs of clients and of groups, as the names promise.
const AWAY_FOR: Duration = Duration::from_secs(20);

const CLIENTS: usize = 8;

async fn flights(replicas: &Replicas) -> Vec<i64> {
    let mut flights = Vec::new();
    // A million seats, more than any machine sells in a test.
    for _ in 0..100 {
        flights.push(replicas.add_flight(10_000).await);
    }
    flights
}

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_is_lost_while_kafka_is_away_for_twenty_seconds() {
    let broker = Broker::start().await;
    let database = TestDatabase::postgres().await.url();
    let redis = required("TEST_REDIS_URL");
    let replicas = Replicas::on(&database, &redis, &broker.brokers).start(2).await;
    let load = Load::start(&replicas, &flights(&replicas).await, CLIENTS);
    load.accepts(100).await;
    broker.stop().await;
    load.accepts(100).await;
    let health = replicas.get(0, "/api/v1/health").await;
    assert_eq!(
        (&health["status"], &health["checks"]["kafka"]["status"]),
        (&"degraded".into(), &"down".into())
    );
    tokio::time::sleep(AWAY_FOR).await;
    load.accepts(100).await;
    broker.start_again().await;
    load.accepts(100).await;
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_is_lost_when_redis_is_flushed_hangs_for_twenty_seconds_and_restarts() {
    let mut redis = RedisServer::start().await;
    let database = TestDatabase::postgres().await.url();
    let brokers = required("TEST_KAFKA_BROKERS");
    let replicas = Replicas::on(&database, &redis.url(), &brokers).start(2).await;
    let load = Load::start(&replicas, &flights(&replicas).await, CLIENTS);
    load.accepts(100).await;
    redis.command(&["FLUSHALL"]).await;
    load.accepts(100).await;
    redis.hang().await;
    load.accepts(100).await;
    tokio::time::sleep(AWAY_FOR).await;
    redis.go_on().await;
    load.accepts(100).await;
    redis.kill().await;
    load.accepts(100).await;
    redis.start_again().await;
    load.accepts(100).await;
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_is_lost_when_postgresql_crashes_and_restarts() {
    let postgres = Service::start("postgres").await;
    let database = postgres.address("TEST_DATABASE_URL");
    let (redis, brokers) = (required("TEST_REDIS_URL"), required("TEST_KAFKA_BROKERS"));
    let replicas = Replicas::on(database, &redis, &brokers).start(2).await;
    let load = Load::start(&replicas, &flights(&replicas).await, CLIENTS);
    for _ in 0..3 {
        load.accepts(200).await;
        postgres.stop().await;
        let health = replicas.client.get(replicas.url(0, "/api/v1/health")).send().await;
        assert_eq!(health.expect("an answer").status(), 503);
        postgres.start_again().await;
    }
    load.accepts(200).await;
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_is_lost_when_one_of_two_replicas_is_killed() {
    let mut replicas = Replicas::new().await.start(2).await;
    let load = Load::start(&replicas, &flights(&replicas).await, CLIENTS);
    load.accepts(200).await;
    replicas.servers.remove(0).kill().await;
    load.accepts(200).await;
    let answered = load.stop().await;
    replicas.expect_ended(&answered).await;
}
