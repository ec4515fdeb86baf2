//! Health, liveness, readiness and metrics, for operators and their machines.

use super::Api;
use crate::health;
use crate::health::{Condition, Report};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The service's health.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HealthBody {
    /// `down` while the database does not answer. `degraded` while Redis or Kafka does not answer, which slows
    /// the service down but loses no booking, while the payment gateway or a provider of messages fails, or while a worker has had work
    /// for 30 seconds and finished none, so that bookings stay pending. Otherwise `ok`.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    checks: Checks,
}

/// A check for each dependency, and for each worker of this process.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Checks {
    database: Check,
    redis: Check,
    kafka: Check,
    /// The worker that completes bookings; absent if another process has it (`ROLES`).
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Check>,
    /// The worker that calls the payment gateway; absent if another process has it (`ROLES`).
    #[serde(skip_serializing_if = "Option::is_none")]
    payments: Option<Check>,
    /// The payment gateway: `down` while a circuit to it is open, so that captures or refunds wait; absent if
    /// another process calls it (`ROLES`).
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<Check>,
    /// The worker that turns events into mails and SMS; absent if no provider is configured, or another process has
    /// it (`ROLES`).
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Check>,
    /// The SMTP server: `down` while the circuit to it is open, so that mails wait; absent if this process sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp: Option<Check>,
    /// The SMS provider: `down` while the circuit to it is open, so that SMS wait; absent if this process sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<Check>,
}

/// The health of one dependency or worker.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Check {
    /// `ok`, `down`, or `embedded` if this process does the work of the dependency itself.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    /// How long the dependency took to answer, in milliseconds; for a worker, how long it has had work and
    /// finished none.
    latency_ms: f64,
}

impl From<health::Check> for Check {
    fn from(check: health::Check) -> Self {
        let status = match check.condition {
            Condition::Ok => "ok",
            Condition::Down => "down",
            Condition::Embedded => "embedded",
        };
        // Whole microseconds have at most three decimals in JSON.
        Self { status, latency_ms: check.took.as_micros() as f64 / 1_000.0 }
    }
}

impl Check {
    fn of_circuit(is_closed: bool) -> Self {
        Self { status: if is_closed { "ok" } else { "down" }, latency_ms: 0.0 }
    }
}

/// The health of the service and its dependencies.
#[utoipa::path(
    get, path = "/api/v1/health", operation_id = "getHealth", tag = "operations",
    responses((status = 200, body = HealthBody), (status = 503, body = HealthBody))
)]
pub(crate) async fn health(State(api): State<Arc<Api>>) -> (StatusCode, axum::Json<HealthBody>) {
    let Report { database, redis, kafka, workers, circuits } = api.health.report().await;
    let is_down = |check: &health::Check| check.condition == Condition::Down;
    let (code, status) = match () {
        () if is_down(&database) => (StatusCode::SERVICE_UNAVAILABLE, "down"),
        () if [&redis, &kafka].into_iter().any(is_down)
            || workers.iter().any(|(_, check)| is_down(check))
            || circuits.iter().any(|(_, is_closed)| !is_closed) =>
        {
            (StatusCode::OK, "degraded")
        }
        () => (StatusCode::OK, "ok"),
    };
    let worker = |name: &str| {
        let found = workers.iter().find(|(its, _)| *its == name);
        found.map(|(_, check)| Check::from(*check))
    };
    let of_gateway = circuits.iter().filter(|(its, _)| its.starts_with("gateway"));
    let gateway = of_gateway.map(|(_, is_closed)| *is_closed).reduce(|one, other| one && other);
    let gateway = gateway.map(Check::of_circuit);
    let circuit = |name: &str| {
        let found = circuits.iter().find(|(its, _)| *its == name);
        found.map(|(_, is_closed)| Check::of_circuit(*is_closed))
    };
    let (settlement, payments) = (worker("settlement"), worker("payments"));
    let (messages, smtp, sms) = (worker("messages"), circuit("smtp"), circuit("sms"));
    let (database, redis, kafka) = (database.into(), redis.into(), kafka.into());
    let checks =
        Checks { database, redis, kafka, settlement, payments, gateway, messages, smtp, sms };
    (code, axum::Json(HealthBody { status, checks }))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", operation_id = "isAlive", tag = "operations", responses((status = 200, body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}
/// Whether the process accepts requests: not while it stops, nor while its database does not answer.
#[utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "operations",
    responses((status = 200, body = String), (status = 503, body = String))
)]
pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> (StatusCode, &'static str) {
    if api.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match api.health.database().await.condition {
        Condition::Ok => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operations", responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let head = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (head, api.metrics.render()).into_response()
}
