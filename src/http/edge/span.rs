//! A request's span, by OpenTelemetry's semantic conventions for HTTP servers.

use super::gate::Edge;
use crate::telemetry::{Side, Span, TraceContext, Tracing};
use axum::extract::Request;
use http::{StatusCode, Version};

/// Begins it below the caller's, if the caller has one and is trusted with it. Otherwise it begins a trace
/// of its own that points to the caller's, so that no stranger decides what is kept, or joins a trace.
///
/// It names the route and never the path: that is the caller's text, of any length, and may hold a
/// person's data.
pub(crate) fn begin(
    tracing: &Tracing,
    edge: &Edge,
    request: &Request,
    (method, route): (&'static str, &str),
    request_id: &str,
) -> Span {
    if !tracing.is_on() {
        return Span::NONE;
    }
    let headers = request.headers();
    let caller = tracing.received(|name| headers.get(name)?.to_str().ok());
    let is_trusted = edge.trusts_trace_of(request);
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
    span.note("http.request.header.x-request-id", request_id.to_owned());
    span
}

/// Notes the answer.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.note("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        // The kind of failure is the status, as the conventions want it.
        span.fail(if status == StatusCode::SERVICE_UNAVAILABLE { "503" } else { "500" });
    }
}
