//! What may stand in some rooms only: foreign crates, I/O, the clock, tasks, transactions.

use super::sources::sources;

/// The words may stand in the rooms and nowhere else.
fn only_in(rooms: &[&str], words: &[&str]) {
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| !source.is_in(rooms))
        .flat_map(|source| source.lines_with(words))
        .collect();
    assert!(strays.is_empty(), "{words:?} belong in {rooms:?} only:\n{}", strays.join("\n"));
}

/// The words may not stand in the rooms.
fn never_in(rooms: &[&str], words: &[&str]) {
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_in(rooms))
        .flat_map(|source| source.lines_with(words))
        .collect();
    assert!(strays.is_empty(), "{words:?} have no place in {rooms:?}:\n{}", strays.join("\n"));
}

#[test]
fn the_domain_and_the_rules_do_no_io() {
    let words =
        ["async ", ".await", "tokio", "tracing", "anyhow", "sqlx", "axum", "random", "now()"];
    never_in(&["domain/", "rules/", "messages/"], &words);
}

#[test]
fn use_cases_know_no_backend_and_no_protocol() {
    never_in(
        &[
            "engine/",
            "booking/",
            "search/",
            "payments/",
            "relay/",
            "webhooks/",
            "notify/",
            "people/",
            "http/",
            "identity/",
        ],
        &["sqlite", "postgres", "::memory"],
    );
    never_in(
        &[
            "engine/",
            "booking/",
            "search/",
            "payments/",
            "relay/",
            "webhooks/",
            "people/",
            "identity/",
        ],
        &["StatusCode", "axum"],
    );
}

#[test]
fn each_foreign_crate_has_its_room() {
    only_in(&["http/", "app/serving.rs"], &["axum::"]);
    only_in(&["http/"], &["utoipa_axum", "hyper::", "hyper_util", "tower_http::"]);
    only_in(&["http/", "breaker.rs"], &["tower::"]);
    only_in(&["http/edge/"], &["governor::"]);
    only_in(&["identity/"], &["jsonwebtoken"]);
    only_in(&["gateway/stripe/api.rs", "identity/", "notify/sms.rs", "webhooks/"], &["reqwest::"]);
    only_in(&["notify/"], &["lettre::", "minijinja::"]);
    only_in(&["tls.rs"], &["rustls::"]);
    only_in(&["store/", "gateway/simulated/"], &["sqlx::"]);
    only_in(&["bus/kafka/"], &["rdkafka::"]);
    let shared = ["use redis::", " redis::", "(redis::", "<redis::"];
    only_in(&["redis/", "cache/redis.rs", "limits/redis.rs", "lock/redis.rs"], &shared);
    only_in(&["telemetry/"], &["prometheus::", "tracing_subscriber", "opentelemetry"]);
    only_in(&["cli/"], &["clap::", "csv::", "indicatif"]);
    only_in(&["cli/import/", "search/", "http/wire/gzip.rs"], &["flate2"]);
}

#[test]
fn time_comes_from_the_clock_alone() {
    only_in(&["clock/"], &["Utc::now", "SystemTime"]);
}

#[test]
fn tasks_are_started_where_the_application_can_wait_for_them() {
    let rooms = [
        "app/messaging.rs",
        "app/pipeline.rs",
        "app/workers.rs",
        "engine/batch/after_commit.rs",
        "engine/guards.rs",
        "engine/promotions.rs",
        "engine/run.rs",
        "booking/flights.rs",
        "http/connection/mod.rs",
        "payments/worker.rs",
        "redis/breaker.rs",
        "tasks.rs",
        // A client that cannot end while its brokers are down must not delay the stop.
        "bus/kafka/client.rs",
        // For at most three seconds, and nothing is lost with them.
        "identity/keys/mod.rs",
    ];
    only_in(&rooms, &["spawn("]);
}

#[test]
fn transactions_on_pooled_connections_of_postgresql_begin_in_one_place() {
    // The driver of SQLite ends what it began though nobody waits for it; the connections of schema,
    // keys and rewrite are in no pool, and closed with their futures.
    let exempt =
        ["store/sqlite/", "store/postgres/connection/transaction.rs", "store/postgres/schema/"];
    let begins = [".begin(", ".begin_with(", "\"BEGIN\"", "Transaction::begin", "transaction("];
    let strays: Vec<_> = sources()
        .iter()
        .filter(|source| source.code.contains("sqlx::") && !source.is_in(&exempt))
        .flat_map(|source| source.lines_with(&begins))
        .collect();
    assert!(strays.is_empty(), "store::postgres::begin begins them:\n{}", strays.join("\n"));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.code.lines().count() > 420)
        .map(|source| source.path)
        .collect();
    assert!(long.is_empty(), "too long: {long:?}");
}
