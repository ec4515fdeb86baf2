//! Reading requests: JSON bodies, paths and queries, each refused with a problem that says why.

use super::places::{SharedPlace, overloaded};
use super::problem::{Code, Problem};
use crate::domain::Invalid;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body::{Frame, SizeHint};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Bytes of a request's body at most.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body, and its fields whose type is wrong: they are noted, and absent from the value.
///
/// So that one answer can name them together with the fields that break a rule.
pub(super) struct Json<T>(pub T, pub Invalid);

/// Fields of a wrong type that one answer names at most: each costs another reading of the body.
const MISTYPED_MAX: usize = 64;

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/json") {
            let detail = "send the body with Content-Type: application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        // Here and not as a layer, which each cached search would pass as well.
        DefaultBodyLimit::max(BODY_BYTES_MAX).apply(&mut request);
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        parse(&bytes).map(|(value, mistyped)| Self(value, mistyped))
    }
}

/// Reads a JSON object; 400 if it is not JSON, 422 if it is another value.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Invalid), Problem> {
    // serde would take an array for an object, its fields by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| not_json(&error))?;
        return Err(Invalid::one("", "must be an object").into());
    }
    // Only what is wrong is read again, to find out where it is.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok((value, Invalid::default()));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(value) => {
            deserializer.end().map_err(|error| not_json(&error))?;
            Ok((value, Invalid::default()))
        }
        Err(error) if is_too_large(error.inner()) => {
            Err(Invalid::one(pointer(error.path()), "is too large a number").into())
        }
        Err(error) if error.inner().is_data() => without_mistyped(bytes, error),
        Err(error) => Err(not_json(error.inner())),
    }
}

/// Reads the object again without each field that can't be read, noting them all.
fn without_mistyped<T: DeserializeOwned>(
    bytes: &[u8],
    first: serde_path_to_error::Error<serde_json::Error>,
) -> Result<(T, Invalid), Problem> {
    let mut mistyped = Invalid::default();
    let mut document = match serde_json::from_slice::<Value>(bytes) {
        Ok(document) => document,
        Err(error) if is_too_large(&error) => Value::Null,
        Err(error) => return Err(not_json(&error)),
    };
    let mut error = first;
    loop {
        let pointer = pointer(error.path());
        mistyped.add(pointer.as_str(), rule(error.inner()));
        // What is refused even when absent (an element of a list) can't be left out.
        let Some(field) = document.pointer_mut(&pointer).filter(|field| !field.is_null()) else {
            return Err(mistyped.into());
        };
        *field = Value::Null;
        match serde_path_to_error::deserialize(&document) {
            Ok(value) => return Ok((value, mistyped)),
            Err(_) if mistyped.0.len() >= MISTYPED_MAX => return Err(mistyped.into()),
            Err(next) => error = next,
        }
    }
}

/// Whether a number is beyond what a float holds (`1e400`), which serde calls a fault of syntax.
fn is_too_large(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedRequest, format!("the body is not JSON: {error}"))
}

/// The path to a value as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// What was expected, without what was sent: that may be personal.
fn rule(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    match message.rsplit_once(", expected ") {
        Some((_, "i32" | "i64")) => "must be an integer".to_owned(),
        Some((_, expected)) if expected.starts_with("struct ") => "must be an object".to_owned(),
        Some((_, "a sequence")) => "must be an array".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => message.to_owned(),
    }
}

fn unread(error: &BytesRejection) -> Problem {
    use std::error::Error as _;
    let mut source: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(cause) = source {
        if cause.is::<TooSlow>() {
            let detail = "the body did not arrive within SERVER_READ_TIMEOUT";
            return Problem::new(Code::RequestTimeout, detail);
        }
        if cause.is::<NoPlace>() {
            return overloaded();
        }
        source = cause.source();
    }
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(Code::BodyTooLarge, "a body is at most 64 KiB")
    } else {
        Problem::new(Code::MalformedRequest, "the body could not be read to its end")
    }
}

/// The body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// Its body is there, and meanwhile others have taken all places.
#[derive(Debug, thiserror::Error)]
#[error("no place is free")]
struct NoPlace;

/// A body that must arrive in time; its request keeps no place while it is awaited.
struct Awaited {
    body: Body,
    late: Pin<Box<Sleep>>,
    place: Option<SharedPlace>,
}

impl http_body::Body for Awaited {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(None) if this.place.as_ref().is_some_and(|place| !place.take_again()) => {
                Poll::Ready(Some(Err(NoPlace.into())))
            }
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending if this.late.as_mut().poll(context).is_ready() => {
                Poll::Ready(Some(Err(TooSlow.into())))
            }
            Poll::Pending => {
                if let Some(place) = &this.place {
                    place.give_back();
                }
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bounds the time in which a request's body must arrive; until it has, its place is free. The
/// handler is told of the place.
pub(super) fn read_within(
    mut request: Request,
    time: Duration,
    place: Option<SharedPlace>,
) -> Request {
    if let Some(place) = &place {
        request.extensions_mut().insert(place.clone());
    }
    request.map(|body| {
        let late = Box::pin(tokio::time::sleep(time));
        Body::new(Awaited { body, late, place })
    })
}

/// A number in the path.
pub(super) struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<i64>::from_request_parts(parts, state).await;
        let detail = "the id in the path must be a 64-bit integer";
        id.map(|Path(id)| Self(id)).map_err(|_| Problem::new(Code::MalformedRequest, detail))
    }
}

/// The query's parameters, as texts; the first of each name counts.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if !is_percent_encoded(query) {
            let detail = "the query is not percent-encoded UTF-8";
            return Err(Problem::new(Code::MalformedRequest, detail));
        }
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// Whether each `%` is followed by two hexadecimal digits and the bytes are UTF-8.
///
/// The form decoder lets the former stand and replaces the latter: a search would silently be for
/// another place.
fn is_percent_encoded(query: &str) -> bool {
    if !query.contains('%') {
        return true;
    }
    let mut pieces = query.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let Some((digits, rest)) = piece.split_at_checked(2) else { return false };
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    std::str::from_utf8(&bytes).is_ok()
}

impl Query {
    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter read as something; unreadable is noted by name, with its rule.
    pub(super) fn read<T: std::str::FromStr>(
        &self,
        name: &str,
        rule: &str,
        unreadable: &mut Invalid,
    ) -> Option<T> {
        let text = self.get(name)?;
        text.parse().map_err(|_| unreadable.add(format!("/{name}"), rule)).ok()
    }
}

/// A 400 that names what in the query cannot be read, if anything was noted.
pub(super) fn readable(unreadable: Invalid) -> Result<(), Problem> {
    unreadable.or(()).map_err(|unreadable| Problem::naming(Code::MalformedRequest, unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_query_must_be_percent_encoded_utf_8() {
        for sound in ["", "a=b", "a=%C3%A9&b=%25", "a=é"] {
            assert!(is_percent_encoded(sound), "{sound}");
        }
        for broken in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "a=%C3&b=%A9", "a=%4é"] {
            assert!(!is_percent_encoded(broken), "{broken}");
        }
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Party {
        seats: Option<i32>,
        name: Option<String>,
        members: Option<Vec<Member>>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Member {
        age: Option<i32>,
    }

    fn noted(body: &str) -> Vec<(String, String)> {
        let mistyped = match parse::<Party>(body.as_bytes()) {
            Ok((_, mistyped)) => mistyped.0,
            Err(problem) => problem.errors().to_vec(),
        };
        mistyped.into_iter().map(|violation| (violation.pointer, violation.detail)).collect()
    }

    #[test]
    fn every_field_of_a_wrong_type_is_noted() {
        let body = r#"{"seats": 2.5, "name": 7, "members": [{"age": "x"}, {"age": 1}]}"#;
        let pointers: BTreeSet<_> = noted(body).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(pointers, BTreeSet::from(["/seats", "/name", "/members/0/age"].map(Into::into)));
    }

    #[test]
    fn what_is_no_object_is_told_so_and_what_is_no_json_is_malformed() {
        for body in ["[1]", "null", "7", "\"x\""] {
            assert_eq!(noted(body), [(String::new(), "must be an object".to_owned())], "{body}");
        }
        let element = noted(r#"{"members": [1]}"#);
        assert_eq!(element[0], ("/members/0".to_owned(), "must be an object".to_owned()));
        for body in ["", "[1", r#"{"seats": 1"#, r#"{"seats": "x", "#, r#"{"seats": 1} x"#] {
            let problem = parse::<Party>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.code(), Code::MalformedRequest, "{body}");
        }
    }

    #[test]
    fn the_readings_of_a_body_are_bounded() {
        let members = vec![r#"{"age":"x"}"#; 1_000].join(",");
        assert_eq!(noted(&format!(r#"{{"members":[{members}]}}"#)).len(), MISTYPED_MAX);
    }
}
