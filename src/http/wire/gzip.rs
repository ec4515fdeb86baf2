//! Answers as gzip, for those who ask and where it pays.

use super::header_list;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, header};
use serde::Serialize;
use std::io::Write as _;
use std::sync::OnceLock;

/// Bytes of a body from which gzip pays: below it, everything fits in one packet anyway.
pub(crate) const ZIPPED_FROM: usize = 1_024;

pub(crate) const ZIPPED: (HeaderName, &str) = (header::CONTENT_ENCODING, "gzip");
pub(crate) const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
pub(crate) const VARIES: (HeaderName, &str) = (header::VARY, "accept-encoding");

/// Whether the caller reads gzip: it names it, or `*` and not gzip, with a weight above 0 (RFC 9110,
/// 12.5.3).
pub(crate) fn is_taken(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any) = (None, false);
    for coding in header_list::items(headers, &header::ACCEPT_ENCODING) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(gzip.unwrap_or(false) || has_weight(weight));
        } else if name == "*" {
            any |= has_weight(weight);
        }
    }
    gzip.unwrap_or(any)
}

/// Whether a coding's parameter leaves it any weight.
fn has_weight(parameter: &str) -> bool {
    let weight =
        parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weight.is_none_or(|(_, weight)| weight.trim().parse().is_ok_and(|weight: f32| weight > 0.0))
}

/// A value as JSON, made for one caller.
pub(crate) fn json(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("plain data is always JSON");
    if body.len() >= ZIPPED_FROM && is_taken(headers) {
        return ([ZIPPED, JSON, VARIES], Body::from(zip(&body, Compression::fast())))
            .into_response();
    }
    ([JSON, VARIES], Body::from(body)).into_response()
}

/// A text that is always the same, zipped once.
pub(crate) struct Text {
    plain: Bytes,
    zipped: OnceLock<Bytes>,
}

impl Text {
    /// One that stands in the program.
    pub(crate) const fn of(text: &'static str) -> Self {
        Self { plain: Bytes::from_static(text.as_bytes()), zipped: OnceLock::new() }
    }

    /// One that was made at the start.
    pub(crate) fn made(text: String) -> Self {
        Self { plain: text.into(), zipped: OnceLock::new() }
    }

    /// The answer that it is.
    pub(crate) fn serve(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, line.parse().expect("a header"));
        }
        is_taken(&headers)
    }

    #[test]
    fn gzip_is_taken_where_its_name_or_any_is_and_not_ruled_out() {
        let taken: [&[&str]; 9] = [
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
        for lines in taken {
            assert!(takes(lines), "{lines:?}");
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
            assert!(!takes(lines), "{lines:?}");
        }
    }
}
