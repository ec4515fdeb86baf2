//! Which pages of other origins may call (the Fetch standard's CORS protocol), by `CORS_ORIGINS`.

use crate::config::CorsOrigins;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK,
    LOCATION, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may cache the answer to a preflight.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// Allows calls from pages of the listed origins; `None` if the list is empty.
///
/// Tokens travel in a header and never in a cookie, so any origin may be `*`.
pub(super) fn layer(origins: &CorsOrigins) -> Option<CorsLayer> {
    let origins = match origins {
        CorsOrigins::None => return None,
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::Listed(listed) => {
            AllowOrigin::list(listed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
        }
    };
    let own = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            own("idempotency-key"),
            own("prefer"),
            own("x-request-id"),
        ])
        .expose_headers([
            ETAG,
            LINK,
            LOCATION,
            RETRY_AFTER,
            own("idempotent-replayed"),
            own("preference-applied"),
            own("ratelimit"),
            own("ratelimit-policy"),
            own("x-request-id"),
        ])
        .max_age(MAX_AGE);
    Some(layer)
}

/// Makes the answer to a preflight a 204, since it has no body; the layer answers 200.
pub(super) fn without_content(mut response: Response) -> Response {
    if response.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
