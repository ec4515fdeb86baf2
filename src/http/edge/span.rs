//! A request's span, named as OpenTelemetry's semantic conventions for HTTP servers say.

use super::{Shared, client_ip};
use crate::http::wire::request_id::RequestId;
use crate::telemetry::{Side, Span, TraceContext};
use axum::extract::Request;
use http::{StatusCode, Version};

/// Begins the span of a request.
///
/// It is a child of the caller's span, if the caller is trusted (`TRACING_TRUST_CALLER`). Otherwise it
/// begins a new trace that links to the caller's, so that an untrusted caller can neither decide which
/// traces are kept nor join one.
///
/// Its name has the route and never the path, which the caller chooses: it has any length and may contain personal
/// data.
pub(super) fn begin(
    shared: &Shared,
    request: &Request,
    id: &RequestId,
    (method, route): (&'static str, &str),
) -> Span {
    let headers = request.headers();
    let tracing = &shared.tracing;
    let caller = tracing.received(|name| headers.get(name)?.to_str().ok());
    let is_trusted = is_trusted(shared, request);
    let parent = if is_trusted { &caller } else { &TraceContext::NONE };
    let span = tracing.span(format!("{method} {route}"), Side::Server, parent);
    if !is_trusted {
        span.link(&caller);
    }
    span.note("http.request.method", if method == "other" { "_OTHER" } else { method });
    span.note("http.route", route.to_owned());
    span.note("url.scheme", "http");
    let version = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
    span.note("network.protocol.version", version);
    span.note("http.request.header.x-request-id", id.as_str().to_owned());
    span
}

/// Whether the caller's trace is continued, and kept if the caller keeps it. Without a setting only a
/// caller on this machine is trusted.
fn is_trusted(shared: &Shared, request: &Request) -> bool {
    shared.trusts_callers.unwrap_or_else(|| {
        let client = client_ip::address(request, &shared.trusted_proxies).to_canonical();
        // Only tests send requests without a connection.
        client.is_loopback() || client.is_unspecified()
    })
}

/// Notes the status of the answer.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.note("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        // By the conventions the status is the error's type.
        span.fail(if status == StatusCode::SERVICE_UNAVAILABLE { "503" } else { "500" });
    }
}
