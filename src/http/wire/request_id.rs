//! Request ids: the caller's where it is well-formed, else a new one.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::Cell;
use uuid::Uuid;

/// The header that carries the id in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum characters of a caller's request id.
const CHARS_MAX: usize = 128;

/// The id of a request in logs, traces, problems and the header of its response.
///
/// The layer that observes a request keeps it until the response. The request's extensions hold a copy
/// only on routes that write audit lines: elsewhere no handler needs it, and an extension costs a search
/// more than the id itself.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id. A new one if the caller's is absent or malformed: an id is copied into logs,
    /// traces and responses.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(X_REQUEST_ID).filter(|id| is_well_formed(id));
        sent.cloned().map_or_else(Self::new, Self)
    }

    /// 32 hexadecimal digits.
    fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let id = next().simple().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(id).expect("digits are a header's value"))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("an id has only letters, digits and ._-")
    }

    /// The id as a header's value.
    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

fn is_well_formed(id: &HeaderValue) -> bool {
    (1..=CHARS_MAX).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// A unique number, which is no secret. Each thread counts on from a random number of its own, because asking the
/// system for randomness at each request would be slow.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &str) -> RequestId {
        let headers = [(X_REQUEST_ID, sent.parse().expect("a header"))];
        RequestId::of(&headers.into_iter().collect())
    }

    #[test]
    fn a_well_formed_id_is_kept_and_any_other_replaced() {
        let longest = "x".repeat(CHARS_MAX);
        for sound in ["a", "A-1_b.c", &longest] {
            assert_eq!(id_for(sound).as_str(), sound);
        }
        for malformed in ["", "a b", "a,b", "<a>", &"x".repeat(CHARS_MAX + 1)] {
            let id = id_for(malformed);
            assert_eq!(id.as_str().len(), 32, "{malformed}");
            assert_ne!(id.as_str(), RequestId::of(&HeaderMap::new()).as_str());
        }
    }
}
