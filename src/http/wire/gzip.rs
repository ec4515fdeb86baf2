//! Gzip for response bodies, where the client accepts it and the body is long enough to gain from it.

use super::{header_list, response};
use axum::body::Bytes;
use axum::response::Response;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

/// Minimum body length in bytes for gzip: a shorter body fits in one packet anyway.
pub(crate) const MIN_LENGTH: usize = 1_024;

// Header values and not `&str`, which would be copied into each response.
pub(crate) const GZIP: (HeaderName, HeaderValue) =
    (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
pub(crate) const JSON: (HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
pub(crate) const VARY: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("accept-encoding"));

/// Whether the client accepts gzip: `Accept-Encoding` lists `gzip` with a weight above 0, or `*` and not
/// `gzip` (RFC 9110, 12.5.3).
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any) = (None, false);
    for coding in header_list::items(headers, &header::ACCEPT_ENCODING) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(gzip.unwrap_or(false) || is_above_zero(weight));
        } else if name == "*" {
            any |= is_above_zero(weight);
        }
    }
    gzip.unwrap_or(any)
}

/// Whether the weight of a coding is above 0; a coding without a weight has 1.
fn is_above_zero(parameter: &str) -> bool {
    let weight =
        parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weight.is_none_or(|(_, weight)| weight.trim().parse().is_ok_and(|weight: f32| weight > 0.0))
}

/// A 200 with a value as JSON, zipped for this response alone.
pub(crate) fn json(headers: &HeaderMap, value: &impl Serialize) -> Response {
    of(headers, [JSON, VARY], super::to_json(value))
}

/// A 200 with a body, zipped for this response alone; `head` has its `Content-Type` and `Vary`.
pub(crate) fn of(
    headers: &HeaderMap,
    [kind, vary]: [(HeaderName, HeaderValue); 2],
    body: impl Into<Vec<u8>>,
) -> Response {
    let body = body.into();
    if body.len() >= MIN_LENGTH && is_accepted(headers) {
        return response(StatusCode::OK, [GZIP, kind, vary], zip_fast(&body));
    }
    response(StatusCode::OK, [kind, vary], body)
}

/// A text that never changes. Zipped once, for the first client that accepts gzip.
pub(crate) struct Text {
    plain: Bytes,
    zipped: OnceLock<Bytes>,
}

impl Text {
    /// A text that is part of the binary.
    pub(crate) const fn of(text: &'static str) -> Self {
        Self { plain: Bytes::from_static(text.as_bytes()), zipped: OnceLock::new() }
    }

    /// A text made at the start.
    pub(crate) fn made(text: String) -> Self {
        Self { plain: text.into(), zipped: OnceLock::new() }
    }

    /// A 200 with this text.
    pub(crate) fn serve(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if self.plain.len() >= MIN_LENGTH && is_accepted(headers) {
            let zipped = self.zipped.get_or_init(|| zip(&self.plain, Compression::best()));
            return response(StatusCode::OK, [kind, VARY, GZIP], zipped.clone());
        }
        response(StatusCode::OK, [kind, VARY], self.plain.clone())
    }
}

/// A file that is part of the binary, zipped. Unzipped once, for the first client that does not accept
/// gzip.
pub(crate) struct Zipped {
    zipped: &'static [u8],
    plain: OnceLock<Bytes>,
}

impl Zipped {
    /// A gzip file that is part of the binary.
    pub(crate) const fn of(zipped: &'static [u8]) -> Self {
        Self { zipped, plain: OnceLock::new() }
    }

    /// The file's content.
    pub(crate) fn plain(&self) -> &Bytes {
        self.plain.get_or_init(|| {
            let mut plain = Vec::new();
            let read = GzDecoder::new(self.zipped).read_to_end(&mut plain);
            read.expect("a committed file is sound gzip: a test reads it");
            plain.into()
        })
    }

    /// A 200 with this file.
    pub(crate) fn serve(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if is_accepted(headers) {
            let zipped = Bytes::from_static(self.zipped);
            return response(StatusCode::OK, [kind, VARY, GZIP], zipped);
        }
        response(StatusCode::OK, [kind, VARY], self.plain().clone())
    }
}

/// Compresses a body for few responses: fast rather than small.
pub(crate) fn zip_fast(bytes: &[u8]) -> Bytes {
    zip(bytes, Compression::fast())
}

fn zip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, line.parse().expect("a header"));
        }
        is_accepted(&headers)
    }

    #[test]
    fn gzip_is_accepted_if_the_header_lists_it_or_a_star_with_a_weight_above_zero() {
        let accepted: [&[&str]; 9] = [
            &["gzip"],
            &["GZIP"],
            &["x-gzip"],
            &["*"],
            &["br", "gzip"],
            &["br;q=1.0, gzip;q=0.5, *;q=0"],
            &["deflate, * ; q=0.1"],
            &["gzip ; Q=1"],
            &["br,gzip;q=0.001"],
        ];
        for lines in accepted {
            assert!(accepts(lines), "{lines:?}");
        }
        let plain: [&[&str]; 8] = [
            &[],
            &[""],
            &["identity"],
            &["gzip;q=0"],
            &["gzip;q=0.0, *"],
            &["*;q=0"],
            &["br", "x-gzip; q=0"],
            &["gzip;q=x"],
        ];
        for lines in plain {
            assert!(!accepts(lines), "{lines:?}");
        }
    }
}
