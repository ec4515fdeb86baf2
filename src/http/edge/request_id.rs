//! Request ids: the caller's where it is well-formed, else a new one.

use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use std::cell::Cell;
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum characters of a caller's request id.
const CHARS_MAX: usize = 128;

/// Drops a malformed id, which the layers below would keep. An id is copied into logs, traces and
/// answers.
pub(super) fn drop_malformed(mut request: Request) -> Request {
    if request.headers().get(REQUEST_ID).is_some_and(|id| !is_well_formed(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn is_well_formed(id: &HeaderValue) -> bool {
    (1..=CHARS_MAX).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Makes ids: 32 hexadecimal digits. `MakeRequestUuid` would ask the system for randomness at each
/// request.
#[derive(Clone, Copy)]
pub(super) struct RequestIds;

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let mut buffer = Uuid::encode_buffer();
        let id = next().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(id).ok().map(RequestId::new)
    }
}

/// Tells requests apart and is no secret: each thread counts on from a random number of its own.
fn next() -> Uuid {
    /// Odd, so that all 128-bit numbers are reached; derived from the golden ratio, so that all bits change.
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    thread_local! {
        static LAST: Cell<u128> = Cell::new(Uuid::new_v4().as_u128());
    }
    let id = LAST.get().wrapping_add(STEP);
    LAST.set(id);
    Uuid::from_u128(id)
}

/// The id of an answer's request; `-` where there is none, which only a test can see.
pub(super) fn of(extensions: &http::Extensions) -> &str {
    let id = extensions.get::<RequestId>().map(RequestId::header_value);
    id.and_then(|id| id.to_str().ok()).unwrap_or("-")
}
