//! `Prefer: wait=N` (RFC 7240): how long a caller wants to wait for a payment.

use super::header_list::{Escapes, split};
use axum::extract::{FromRequestParts, Request};
use http::request::Parts;
use http::{Extensions, HeaderMap};
use std::convert::Infallible;
use std::time::Duration;

/// Maximum time that a caller can ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long the caller wants to wait; zero without the preference.
///
/// The outermost layer reads it once, on routes that wait, and notes it in the request's extensions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait(pub(crate) Duration);

impl Wait {
    /// Reads the preference, and notes it if there is one.
    pub(crate) fn note(request: &mut Request) -> Self {
        let wait = Self(wait(request.headers()));
        if !wait.0.is_zero() {
            request.extensions_mut().insert(wait);
        }
        wait
    }

    /// The noted wait.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// How long the caller wants to wait, up to [`WAIT_MAX`]; zero without the preference.
///
/// The first of several counts, and one that is not a number of seconds means zero (RFC 7240, 2).
fn wait(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all("prefer").into_iter().filter_map(|line| line.to_str().ok());
    let preferences = lines.flat_map(|line| split(line, ',', Escapes::Backslash));
    let mut waits = preferences.filter_map(|preference| {
        let preference = split(preference, ';', Escapes::Backslash).next()?;
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
    });
    waits.next().and_then(seconds).unwrap_or_default().min(WAIT_MAX)
}

/// A number of seconds, as a token or a quoted string.
fn seconds(value: &str) -> Option<Duration> {
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = quoted.unwrap_or(value);
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond 64 bits is beyond the maximum as well.
    is_number.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(lines: &[&str]) -> u64 {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", line.parse().expect("a header"));
        }
        wait(&headers).as_secs()
    }

    #[test]
    fn the_wait_is_read_as_rfc_7240_says() {
        for line in [
            "wait=5",
            "Wait=5",
            "WAIT = 5",
            "wait=\"5\"",
            "wait=005",
            "wait=5; x=y",
            "wait=5;x=\"a;b,wait=7\"",
            "respond-async, wait=5",
            "return=minimal; foo=\"a,wait=7\", wait\t=\t5",
            "foo=\"a\\\", wait=7\", wait=5",
            "wait=5, wait=7",
        ] {
            assert_eq!(waits(&[line]), 5, "{line}");
        }
        assert_eq!(waits(&["respond-async", "handling=lenient, wait=5", "wait=7"]), 5);
        assert_eq!(waits(&["wait=99999999999999999999999"]), 60);
        for line in ["", "wait", "wait=", "wait=\"\"", "wait=-1", "wait=+5", "wait=5s", "await=5"] {
            assert_eq!(waits(&[line]), 0, "{line}");
        }
        assert_eq!(waits(&["x=\"wait=5\"", "foo; wait=5"]), 0);
    }
}
