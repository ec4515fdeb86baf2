//! Which pages of other origins may call (the Fetch standard's CORS protocol), by `CORS_ORIGINS`.

use crate::config::CorsOrigins;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Where a browser's request comes from, seen from where it goes (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a page may send, and read, beyond what any may.
const SENT: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, prefer, x-request-id";
const READ: &str = "etag, idempotent-replayed, location, preference-applied, ratelimit, \
                    ratelimit-policy, retry-after, x-request-id";

/// The origin that a request's answer is to name, if its page may call.
pub(crate) fn allowed(origins: &CorsOrigins, request: &Request) -> Option<HeaderValue> {
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

/// Whether a browser sends it for a page of another origin, and it is to change something.
///
/// A page may send a form, or a `POST` without a body, wherever it wants and without asking first;
/// the browser then says whose page it is. Other programs say nothing, and are believed.
pub(crate) fn is_forged(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match text(&ORIGIN) {
        Some(origin) => !is_own(origin, text(&HOST).unwrap_or_default()),
        None => text(&SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none")),
    }
}

/// Whether a page of this origin came from where it calls. A proxy may speak TLS for us, so either
/// scheme will do; a default port may be named or not.
fn is_own(origin: &str, host: &str) -> bool {
    let (scheme, at) = origin.split_once("://").unwrap_or_default();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    matches!(scheme, "http" | "https") && !at.is_empty() && bare(at) == bare(host)
}

/// The answer to a page that asks before it calls.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
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
pub(crate) fn finish(origins: &CorsOrigins, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
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
pub(crate) fn options(refused: &Response) -> Option<Response> {
    let is_refused = refused.status() == StatusCode::METHOD_NOT_ALLOWED;
    is_refused.then(|| StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_our_own_by_host_and_port() {
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("https://shop.example", "shop.example"),
            ("https://shop.example", "Shop.example:443"),
            ("http://shop.example:80", "shop.example"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_own(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "shop.example"),
            ("http://localhost:3000", "localhost:8080"),
            ("https://shop.example:8443", "shop.example"),
            ("http://shop.example.evil.example", "shop.example"),
            ("file://shop.example", "shop.example"),
            ("null", "shop.example"),
            ("null", ""),
            ("http://", ""),
            ("", ""),
        ] {
            assert!(!is_own(origin, host), "{origin} {host}");
        }
    }
}
