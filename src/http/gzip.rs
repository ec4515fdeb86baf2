//! Answers as gzip, for those who ask and where it pays.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, header};
use serde::Serialize;
use std::io::Write as _;
use std::sync::OnceLock;

/// Bytes of a body from which gzip pays: below it, everything fits in one packet anyway.
pub(super) const ZIPPED_FROM: usize = 1_024;

pub(super) const ZIPPED: (HeaderName, &str) = (header::CONTENT_ENCODING, "gzip");
pub(super) const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
pub(super) const VARIES: (HeaderName, &str) = (header::VARY, "accept-encoding");

/// Whether the caller reads gzip and does not rule it out (`gzip;q=0`).
pub(super) fn is_taken(headers: &HeaderMap) -> bool {
    let named = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    named.is_some_and(|codings| {
        codings.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let is_ruled_out = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
            name.trim().eq_ignore_ascii_case("gzip") && !is_ruled_out
        })
    })
}

/// A value as JSON, made for one caller.
pub(super) fn json(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("plain data is always JSON");
    if body.len() >= ZIPPED_FROM && is_taken(headers) {
        return ([ZIPPED, JSON, VARIES], Body::from(zip(&body, Compression::fast())))
            .into_response();
    }
    ([JSON, VARIES], Body::from(body)).into_response()
}

/// A text that is always the same, zipped once.
pub(super) struct Text {
    plain: Bytes,
    zipped: OnceLock<Bytes>,
}

impl Text {
    /// One that stands in the program.
    pub(super) const fn of(text: &'static str) -> Self {
        Self { plain: Bytes::from_static(text.as_bytes()), zipped: OnceLock::new() }
    }

    /// One that was made at the start.
    pub(super) fn made(text: String) -> Self {
        Self { plain: text.into(), zipped: OnceLock::new() }
    }

    /// The answer that it is.
    pub(super) fn serve(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let head = [(header::CONTENT_TYPE, media_type), VARIES];
        if self.plain.len() >= ZIPPED_FROM && is_taken(headers) {
            let zipped = self.zipped.get_or_init(|| zip(&self.plain, Compression::best()).into());
            return (head, [ZIPPED], Body::from(zipped.clone())).into_response();
        }
        (head, Body::from(self.plain.clone())).into_response()
    }
}

fn zip(bytes: &[u8], how: Compression) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), how);
    zip.write_all(bytes).expect("writing to memory does not fail");
    zip.finish().expect("writing to memory does not fail")
}
