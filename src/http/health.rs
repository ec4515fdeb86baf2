//! What operators and their machines ask: is it up, is it ready, what has it counted.

use super::Api;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the store may take to answer a health check.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The service's health.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HealthBody {
    /// `ok`, or `down` where the store does not answer.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    checks: Checks,
}

/// One check for each dependency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Checks {
    database: Check,
    redis: Check,
    kafka: Check,
}

/// One dependency's health.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Check {
    /// `ok`, `down`, or `embedded` where this process does the work itself.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    /// How long the answer took, in milliseconds.
    latency_ms: f64,
}

const EMBEDDED: Check = Check { status: "embedded", latency_ms: 0.0 };

async fn database(api: &Api) -> Check {
    let asked_at = Instant::now();
    let answer = tokio::time::timeout(PING_TIMEOUT, api.store.ping()).await;
    let status = if matches!(answer, Ok(Ok(()))) { "ok" } else { "down" };
    // Microseconds are fine enough, and exact in JSON's decimals.
    Check { status, latency_ms: asked_at.elapsed().as_micros() as f64 / 1_000.0 }
}

/// The health of the service and its dependencies.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses((status = 200, body = HealthBody), (status = 503, body = HealthBody))
)]
pub(super) async fn health(State(api): State<Arc<Api>>) -> (StatusCode, axum::Json<HealthBody>) {
    let database = database(&api).await;
    let status = database.status;
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = Checks { database, redis: EMBEDDED, kafka: EMBEDDED };
    (code, axum::Json(HealthBody { status, checks }))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether to send requests here: not while it stops, nor without its store.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = String), (status = 503, body = String))
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> (StatusCode, &'static str) {
    if api.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match database(&api).await.status {
        "ok" => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let head = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (head, api.metrics.render()).into_response()
}
