//! What is on the wire: requests read from JSON, queries and headers; JSON and problems written.

pub(crate) mod accept;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod etag;
pub(crate) mod gzip;
pub(crate) mod header_list;
pub(crate) mod host;
pub(crate) mod json;
pub(crate) mod prefer;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod request_id;
pub(crate) mod request_key;
pub(crate) mod table;

use crate::domain::UserId;
use crate::identity::Tokens;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use problem::Problem;
use std::time::Duration;

/// What the extractors need to know of the router's state.
pub(crate) trait ExtractorState: Send + Sync {
    /// How long a body may take to arrive (`SERVER_READ_TIMEOUT`).
    fn read_timeout(&self) -> Duration;

    /// Checks callers' tokens; `None` with `AUTH=off`.
    fn tokens(&self) -> Option<&Tokens>;

    /// Counts a request of a token's user, or refuses it: the user is over its rate limit.
    fn count(&self, user: UserId) -> Result<(), Problem>;
}

/// The rate limit of the payment provider's events.
pub(crate) trait EventLimit: Send + Sync {
    /// Counts an event, or refuses it.
    fn count(&self) -> Result<(), Problem>;
}

/// The rate limit of each user.
pub(crate) trait UserLimit: Send + Sync {
    /// Counts a request of a user, or refuses it.
    fn count(&self, user: UserId) -> Result<(), Problem>;
}

/// A value as JSON. For structs of texts and numbers, which always serialize.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of texts and numbers are always JSON")
}

/// Capacity for the headers of a response and those that the layers add, since a map that grows is rebuilt.
const HEADERS: usize = 12;

/// A response with these headers.
pub(crate) fn response<const N: usize>(
    status: StatusCode,
    head: [(HeaderName, HeaderValue); N],
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.extend(head);
    response
}
