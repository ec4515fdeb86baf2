//! JSON bodies and numbers in paths. A refusal says what is wrong and where.

pub(crate) mod fields;
pub(crate) mod flight_body;
pub(crate) mod hints;
pub(crate) mod number;
pub(crate) mod shape;

use super::problem::{Code, Problem};
use super::{ExtractorState, header_list};
use crate::domain::Invalid;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::IgnoredAny;
use shape::Shaped;
use tokio::time::timeout;

/// Maximum length of a request's body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body, and what is wrong with the fields that can't be read, which the value lacks.
///
/// The handler adds the fields that break a rule, so that one problem names all.
pub(crate) struct Json<T>(pub T, pub Invalid);

impl<T: Shaped, S: ExtractorState> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        supported(request.headers())?;
        let bytes = arrived(request, state).await?;
        parse(&bytes).map(|(value, mistyped)| Self(value, mistyped))
    }
}

/// As [`Json`], for requests without required fields: an empty body, whatever its content type, and `null`
/// are read as `{}`.
pub(crate) struct OptionalJson<T>(pub T, pub Invalid);

impl<T: Shaped, S: ExtractorState> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_supported = supported(request.headers());
        let bytes = arrived(request, state).await?;
        let bytes = match bytes.trim_ascii() {
            b"" => b"{}",
            sent => {
                is_supported?;
                if sent == b"null" { b"{}" } else { sent }
            }
        };
        parse(bytes).map(|(value, mistyped)| Self(value, mistyped))
    }
}

/// The bytes of a body as they were sent, for a signature over them.
pub(crate) struct RawBody(pub Bytes);

impl<S: ExtractorState> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        arrived(request, state).await.map(Self)
    }
}

/// The bytes of a body, within its limits of length and time.
async fn arrived<S: ExtractorState>(mut request: Request, state: &S) -> Result<Bytes, Problem> {
    // Not a layer of the router: every cached search would pay for it.
    DefaultBodyLimit::max(BODY_BYTES_MAX).apply(&mut request);
    let arriving = timeout(state.read_timeout(), Bytes::from_request(request, state));
    let arrived = arriving.await.map_err(|_| {
        let detail = "the body did not arrive within SERVER_READ_TIMEOUT";
        Problem::new(Code::RequestTimeout, detail)
    })?;
    arrived.map_err(|error| unread(&error))
}

/// 415 unless the body is JSON, in UTF-8 and not compressed.
fn supported(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(Code::UnsupportedMediaType, detail));
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = media_type.unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return refused("send the body with Content-Type: application/json");
    }
    // JSON between systems is UTF-8 (RFC 8259, 8.1); US-ASCII is a subset.
    let is_charset = |name: &str| name.trim().eq_ignore_ascii_case("charset");
    let mut charsets = parts.filter_map(|part| part.split_once('=')).filter(|(n, _)| is_charset(n));
    let is_read = |charset: &str| {
        let charset = charset.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
    };
    if !charsets.all(|(_, charset)| is_read(charset)) {
        return refused("send the body in UTF-8");
    }
    let mut codings = header_list::items(headers, &CONTENT_ENCODING);
    if !codings.all(|coding| coding.eq_ignore_ascii_case("identity")) {
        let problem = Problem::new(Code::UnsupportedMediaType, "send the body without compression");
        return Err(problem.bearing(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    Ok(())
}

/// Reads a JSON object; 400 if it is not JSON, 422 if it is another value.
fn parse<T: Shaped>(bytes: &[u8]) -> Result<(T, Invalid), Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Problem::new(Code::MalformedRequest, "the body is not JSON: it is not UTF-8")
    })?;
    // serde would read an array as a struct, by position.
    if !text.trim_ascii_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error))?;
        return Err(Invalid::one("", "must be an object").into());
    }
    shape::read(text)
}

pub(crate) fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedRequest, format!("the body is not JSON: {error}"))
}

fn unread(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(Code::BodyTooLarge, "the body is larger than 64 KiB")
    } else {
        Problem::new(Code::MalformedRequest, "the body ended early or is malformed")
    }
}

/// A number in the path.
pub(crate) struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<i64>::from_request_parts(parts, state).await;
        let detail = "the id in the path must be a 64-bit integer";
        id.map(|Path(id)| Self(id)).map_err(|_| Problem::new(Code::MalformedRequest, detail))
    }
}

/// Two numbers in the path.
pub(crate) struct Ids(pub i64, pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ids = Path::<(i64, i64)>::from_request_parts(parts, state).await;
        let detail = "the numbers in the path must be 64-bit integers";
        ids.map(|Path((one, other))| Self(one, other))
            .map_err(|_| Problem::new(Code::MalformedRequest, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::wire::json::shape::{Kind, Shape};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Seats {
        #[serde(rename = "seats")]
        _seats: Option<i32>,
    }

    impl Shaped for Seats {
        const SHAPE: Shape = Shape { fields: &[("seats", Kind::Integer32)], ignored: &[] };
    }

    #[test]
    fn json_that_is_no_object_breaks_a_rule_and_other_text_is_malformed() {
        for body in ["[1]", "null", "7", "\"x\""] {
            let problem = parse::<Seats>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.errors()[0].detail, "must be an object", "{body}");
        }
        let unsound: [&[u8]; 8] = [
            b"",
            b"[1",
            b"{\"seats\": 1",
            b"{\"seats\": \"x\", ",
            b"{\"seats\": 1} x",
            b"{\"seats\": 01}",
            b"{\"\xff\": 1}",
            b"{\"seats\": 1, \"x\": \"\xed\xa0\x80\"}",
        ];
        for body in unsound {
            let problem = parse::<Seats>(body).expect_err("malformed");
            assert_eq!(problem.code(), Code::MalformedRequest, "{body:?}");
        }
    }
}
