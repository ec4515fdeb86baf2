//! The one layer around every request: its id, its bounds, its counts, its log line.
//!
//! One function and not a stack: each layer costs every cached search, and their order is plain here.

use super::gate::is_probe;
use super::refusals::Refusals;
use super::span;
use crate::http::Api;
use crate::http::routes::{bookings, search};
use crate::http::wire::audit::RequestId;
use crate::http::wire::prefer;
use crate::http::wire::problem::{Code, Problem};
use crate::telemetry::{Panicked, Part, Span, TraceContext};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Level, enabled, event, field};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a caller's request id at most.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// An answer that took longer, beyond what the caller asked to wait, is told of.
const SLOW: Duration = Duration::from_secs(1);

/// Carries one request through.
pub(crate) async fn around(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = request_id(&request);
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = method_label(request.method());
    let route = api.metrics.route(method, path);
    let id = request_id.to_str().expect("a request id is checked or made of ASCII letters");
    let _counted = Counted::count(&api);
    let is_told = enabled!(target: "access", Level::INFO);
    let client = is_told.then(|| api.edge.client(&request));

    let (passed, turned_away) = api.edge.pass(&request, path, started);
    // What probes ask is no part of any story.
    let span = if path.starts_with("/api/") && !is_probe(path) {
        span::begin(&api.tracing, &api.edge, &request, (method, path), id)
    } else {
        Span::NONE
    };
    let waits = match (method, path) {
        ("POST", bookings::PATH) => prefer::wait(request.headers()),
        _ => Duration::ZERO,
    };
    if api.tokens.is_some() && path != search::PATH {
        request.extensions_mut().insert(RequestId(request_id.clone()));
    }
    let mut response = match turned_away {
        Some(refusal) => refusal,
        None => {
            let time = api.limits.request_timeout + waits;
            span.around(carry_out(&api, time, request, next)).await
        }
    };

    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        let body = problem.body(id);
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
    let status = response.status();
    api.edge.finish(passed, path, &mut response);
    let took = started.elapsed();
    route.observe(status, took);
    span::answered(&span, status);
    let is_slow = took > SLOW + waits;
    let line = Line { id, method, route: path, status, took, is_slow, client };
    line.write(problem.as_ref(), &span.context(), &api.edge.refusals);
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

/// Carries a request out, within its time.
async fn carry_out(api: &Api, time: Duration, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(time, next.run(request));
    match api.metrics.catch(Part::Request, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let late = "the answer took longer than SERVER_WRITE_TIMEOUT; what was asked may have \
                        been done";
            Problem::new(Code::Unavailable, late).into_response()
        }
        Err(Panicked) => Problem::internal("panicked; an earlier line says where").into_response(),
    }
}

/// The caller's id if it is well-formed, else a fresh one.
fn request_id(request: &Request) -> HeaderValue {
    let sound = |id: &&HeaderValue| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    request.headers().get(REQUEST_ID).filter(sound).cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        let id = next_id().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(id).expect("hexadecimal digits are a header's text")
    })
}

/// Tells requests apart and is no secret: each thread counts on from a random number, so that none
/// asks the system for randomness at each request, or shares a counter.
fn next_id() -> Uuid {
    /// Odd, so that all 128 bits are passed through; from the golden ratio, so that they all change.
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    thread_local! {
        static LAST: Cell<u128> = Cell::new(Uuid::new_v4().as_u128());
    }
    let id = LAST.get().wrapping_add(STEP);
    LAST.set(id);
    Uuid::from_u128(id)
}

/// The method as metrics show it: one that no route takes is `other`, since a caller may send any
/// word, and each word would be a series for ever.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The request's one line. Its target is `access`, so that `RUST_LOG=info,access=warn` silences it.
struct Line<'a> {
    id: &'a str,
    method: &'static str,
    route: &'a str,
    status: StatusCode,
    took: Duration,
    is_slow: bool,
    client: Option<IpAddr>,
}

/// One line at a level, which the macro wants as a constant.
macro_rules! line {
    ($level:expr, $text:literal, $line:ident, $trace_id:ident $(, $field:ident)*) => {
        event!(
            target: "access", $level, request_id = $line.id, trace_id = $trace_id,
            method = $line.method, route = $line.route, status = $line.status.as_u16(),
            duration_ms = $line.took.as_secs_f64() * 1e3, $($field,)* $text
        )
    };
}

impl Line<'_> {
    /// With its cause where something failed, and with whom and why where a caller was turned away.
    fn write(&self, problem: Option<&Problem>, trace: &TraceContext, refusals: &Refusals) {
        let cause = problem.and_then(Problem::cause);
        // Probes come every few seconds, and are told of where they are not content.
        let is_quiet = is_probe(self.route) && !self.status.is_server_error() && !self.is_slow;
        let is_told = if is_quiet {
            enabled!(target: "access", Level::DEBUG)
        } else {
            self.client.is_some() || cause.is_some()
        };
        if !is_told {
            return;
        }
        let trace_id = trace.trace_id().map(field::display);
        let reason = problem.map(|problem| problem.code().as_str());
        if let Some(cause) = cause {
            line!(Level::ERROR, "failed", self, trace_id, reason, cause);
        } else if let Some(reason) = problem.and_then(Problem::refusal) {
            let Some(client) = self.client else { return };
            let Some(left_out) = refusals.take(client, Instant::now()) else { return };
            let left_out = (left_out > 0).then_some(left_out);
            let client = field::display(client);
            line!(Level::INFO, "refused", self, trace_id, reason, client, left_out);
        } else if self.is_slow {
            line!(Level::INFO, "slow", self, trace_id, reason);
        } else if is_quiet {
            line!(Level::DEBUG, "answered", self, trace_id);
        } else {
            line!(Level::INFO, "answered", self, trace_id, reason);
        }
    }
}

/// A request among those in flight; no longer when dropped.
struct Counted<'a>(&'a Api);

impl<'a> Counted<'a> {
    fn count(api: &'a Api) -> Self {
        api.metrics.http_in_flight.inc();
        Self(api)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.http_in_flight.dec();
    }
}
