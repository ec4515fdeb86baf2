//! The one layer around every request: its id, its bounds, its counts, its log line.
//!
//! One function and not a stack: each layer costs every cached search, and their order is plain here.

use super::problem::{Code, Problem};
use super::{Api, body::read_within, span};
use crate::telemetry::{Span, TraceContext};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Level, enabled, event, field};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a caller's request id at most.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// An answer that took longer, beyond what the caller asked to wait, is told of.
const SLOW: Duration = Duration::from_secs(1);

/// Carries one request through.
pub(super) async fn around(
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
    let place = Place::take(&api);

    let (passed, turned_away) = api.edge.pass(&request, path, started);
    let is_bounded = path.starts_with("/api/") && !path.ends_with("/health");
    // What probes ask is no part of any story.
    let span = if is_bounded {
        span::begin(&api.tracing, &request, (method, path), id)
    } else {
        Span::NONE
    };
    let waits = super::bookings::asked_wait(request.headers());
    let mut response = if let Some(refusal) = turned_away {
        refusal
    } else if is_bounded && place.is_beyond {
        Problem::new(Code::Overloaded, "MAX_IN_FLIGHT requests are being worked on").into_response()
    } else {
        request = read_within(request, api.limits.read_timeout);
        span.around(carry_out(api.limits.request_timeout + waits, request, next)).await
    };

    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        let body = problem.body(id);
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
    api.edge.finish(passed, &mut response);
    let took = started.elapsed();
    route.observe(response.status(), took);
    let cause = problem.as_ref().and_then(Problem::cause);
    span::answered(&span, response.status());
    let is_slow = took > SLOW + waits;
    let line = Line { id, method, route: path, status: response.status(), took, is_slow, cause };
    line.write(&span.context());
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

async fn carry_out(time: Duration, request: Request, next: Next) -> Response {
    let answered = AssertUnwindSafe(tokio::time::timeout(time, next.run(request))).catch_unwind();
    match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let late = "the answer took longer than SERVER_WRITE_TIMEOUT; what was asked may have \
                        been done";
            Problem::new(Code::Unavailable, late).into_response()
        }
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().copied();
            let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Problem::internal(format!("panic: {}", message.unwrap_or("?"))).into_response()
        }
    }
}

/// The caller's id if it is well-formed, else a fresh one.
fn request_id(request: &Request) -> HeaderValue {
    let sound = |id: &&HeaderValue| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    request.headers().get(REQUEST_ID).filter(sound).cloned().unwrap_or_else(|| {
        let mut buffer = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::new_v4().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(id).expect("hexadecimal digits are a header's text")
    })
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

/// The request's one line. Its target is `access`, so that `RUST_LOG=info,access=debug` shows them all.
struct Line<'a> {
    id: &'a str,
    method: &'static str,
    route: &'a str,
    status: StatusCode,
    took: Duration,
    is_slow: bool,
    cause: Option<&'a str>,
}

/// One line at a level, which the macro wants as a constant.
macro_rules! line {
    ($level:expr, $line:ident, $trace_id:ident, $text:literal $(, $cause:ident)?) => {
        event!(
            target: "access", $level, request_id = $line.id, trace_id = $trace_id,
            method = $line.method, route = $line.route, status = $line.status.as_u16(),
            duration_ms = $line.took.as_secs_f64() * 1e3, $($cause,)? $text
        )
    };
}

impl Line<'_> {
    /// With its cause where something failed; at `debug` where all went well, which is most of them.
    fn write(&self, trace: &TraceContext) {
        let is_notable = self.cause.is_some() || self.is_slow || self.status.is_server_error();
        if !is_notable && !enabled!(target: "access", Level::DEBUG) {
            return;
        }
        let trace_id = trace.trace_id().map(field::display);
        if let Some(cause) = self.cause {
            line!(Level::ERROR, self, trace_id, "failed", cause);
        } else if self.is_slow {
            line!(Level::INFO, self, trace_id, "slow");
        } else if self.status.is_server_error() {
            line!(Level::INFO, self, trace_id, "answered");
        } else {
            line!(Level::DEBUG, self, trace_id, "answered");
        }
    }
}

/// A request's place among those being worked on; given back when dropped.
struct Place<'a> {
    api: &'a Api,
    is_beyond: bool,
}

impl<'a> Place<'a> {
    fn take(api: &'a Api) -> Self {
        api.metrics.http_in_flight.inc();
        let in_flight = api.metrics.http_in_flight.get();
        Self { api, is_beyond: in_flight > api.limits.in_flight_max as i64 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.api.metrics.http_in_flight.dec();
    }
}
