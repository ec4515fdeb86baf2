//! Which pages of other origins may call (the Fetch standard's CORS protocol), by `CORS_ORIGINS`.

use crate::config::CorsOrigins;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// What a page may send, and read, beyond what any may.
const SENT: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, prefer, x-request-id";
const READ: &str = "etag, idempotent-replayed, location, preference-applied, ratelimit, \
                    ratelimit-policy, retry-after, x-request-id";

/// The origin that a request's answer is to name, if its page may call.
pub(super) fn allowed(origins: &CorsOrigins, request: &Request) -> Option<HeaderValue> {
    let origin = request.headers().get(ORIGIN)?;
    match origins {
        CorsOrigins::None => None,
        // Tokens travel in a header and never in a cookie, so that any means any.
        CorsOrigins::Any => Some(HeaderValue::from_static("*")),
        CorsOrigins::Listed(known) => {
            known.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
        }
    }
}

/// The answer to a page that asks before it calls.
pub(super) fn preflight(request: &Request) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let head = [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT"),
            (ACCESS_CONTROL_ALLOW_HEADERS, SENT),
            (ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        (StatusCode::NO_CONTENT, head).into_response()
    })
}

/// Lets the page read the answer.
pub(super) fn finish(origins: &CorsOrigins, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if matches!(origins, CorsOrigins::Listed(_)) {
        // A cache must not give one origin's answer to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
}

/// `OPTIONS` of a path that exists: the router adds which methods it takes (RFC 9110, 9.3.7).
pub(super) fn options(refused: &Response) -> Option<Response> {
    let is_refused = refused.status() == StatusCode::METHOD_NOT_ALLOWED;
    is_refused.then(|| StatusCode::NO_CONTENT.into_response())
}
