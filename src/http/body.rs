//! Reading requests: JSON bodies, paths and queries, each refused with a problem that says why.

use super::problem::{Code, Problem};
use crate::domain::Invalid;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use futures::StreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A JSON body.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/json") {
            let detail = "send the body with Content-Type: application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let parsed = parsed.map_err(|error| {
        let pointer = pointer(error.path());
        (error.into_inner(), pointer)
    });
    let parsed = parsed.and_then(|value: T| {
        deserializer.end().map(|()| value).map_err(|error| (error, String::new()))
    });
    parsed.map_err(|(error, pointer)| {
        let is_number = error.to_string().starts_with("number out of range");
        if error.is_data() || is_number {
            let rule = if is_number { "is too large a number".into() } else { rule(&error) };
            Problem::from(Invalid::one(pointer, rule))
        } else {
            Problem::new(Code::MalformedRequest, format!("the body is not JSON: {error}"))
        }
    })
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

/// Bounds the time in which a request's body must arrive.
pub(super) fn read_within(request: Request, time: Duration) -> Request {
    if http_body::Body::is_end_stream(request.body()) {
        return request;
    }
    request.map(|body| {
        let late = Box::pin(tokio::time::sleep(time));
        let stream = futures::stream::unfold((body.into_data_stream(), late), |(mut body, mut late)| async {
            tokio::select! {
                chunk = body.next() => chunk.map(|chunk| (chunk.map_err(Into::into), (body, late))),
                () = &mut late => {
                    let error: axum::BoxError = TooSlow.into();
                    Some((Err(error), (body, late)))
                }
            }
        });
        Body::from_stream(stream)
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
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let detail = "the query is not percent-encoded UTF-8";
        query.map(|q| Self(q.0)).map_err(|_| Problem::new(Code::MalformedRequest, detail))
    }
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
