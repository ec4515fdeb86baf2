//! The one layer around every request: its id, its bounds, its counts, its log line.
//!
//! One function and not a stack: each layer costs every cached search, and their order is plain here.

use super::problem::{Code, Problem};
use super::{Api, body::read_within};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, StatusCode};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tracing::{Level, debug, enabled, error, info};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a caller's request id at most.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// How long `Prefer: wait` may make a request last beyond its own time-out.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Carries one request through.
pub(super) async fn around(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(&request);
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    let route = api.metrics.route(request.method().as_str(), path);
    let place = Place::take(&api);

    let is_bounded = path.starts_with("/api/") && !path.ends_with("/health");
    let mut response = if is_bounded && place.is_beyond {
        Problem::new(Code::Overloaded, "MAX_IN_FLIGHT requests are being worked on").into_response()
    } else {
        request = read_within(request, api.limits.read_timeout);
        carry_out(&api, request, next).await
    };

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.body(request_id.to_str().unwrap_or_default());
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
    let took = started.elapsed();
    route.observe(response.status(), took);
    log(&request_id, path, response.status(), took);
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

async fn carry_out(api: &Api, request: Request, next: Next) -> Response {
    let time = api.limits.request_timeout + super::bookings::asked_wait(request.headers());
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
            error!(panic = message.unwrap_or("?"), "a handler panicked");
            Problem::new(Code::Internal, "the request could not be carried out").into_response()
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

fn log(request_id: &HeaderValue, route: &str, status: StatusCode, took: Duration) {
    if status.is_server_error() {
        info!(?request_id, route, status = status.as_u16(), ?took, "answered");
    } else if enabled!(Level::DEBUG) {
        debug!(?request_id, route, status = status.as_u16(), ?took, "answered");
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
