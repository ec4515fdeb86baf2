//! Refusals on the wire: RFC 9457 problem details, each with a code that programs can tell apart.

use crate::domain::{Invalid, Violation};
use crate::engine::Error;
use crate::identity::Scope;
use crate::rules::Refusal;
use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// What went wrong, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be read.
    MalformedRequest,
    /// A token is needed, and there is none or none that can be accepted.
    Unauthenticated,
    /// The token does not allow it.
    Forbidden,
    /// No such path, flight or booking.
    NotFound,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// Fewer free seats than asked for.
    InsufficientSeats,
    /// Departed, cancelled, or too close to departure.
    FlightNotBookable,
    /// The user holds as many seats unpaid as one may.
    TooManyPending,
    /// The body's version is not the flight's.
    VersionConflict,
    /// The new counts would take sold or held seats.
    SeatsInUse,
    /// The booking failed, or its flight has departed.
    BookingNotCancellable,
    /// A cancelled flight stays so.
    FlightCancelled,
    /// The version in `If-Match` is not the flight's.
    PreconditionFailed,
    /// The body is over 64 KiB.
    BodyTooLarge,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The `Host` is no name of this service.
    MisdirectedRequest,
    /// Well-formed, but a field breaks a rule.
    ValidationFailed,
    /// The key came with another request before.
    IdempotencyKeyReused,
    /// Seat counts change only against a known version.
    VersionRequired,
    /// The client has used up its limit.
    RateLimited,
    /// A fault of ours.
    Internal,
    /// More is asked than can be done now.
    Overloaded,
    /// The store does not answer, or not in time.
    Unavailable,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 24] = [
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::InsufficientSeats,
        Self::FlightNotBookable,
        Self::TooManyPending,
        Self::VersionConflict,
        Self::SeatsInUse,
        Self::BookingNotCancellable,
        Self::FlightCancelled,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::MisdirectedRequest,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::VersionRequired,
        Self::RateLimited,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// The word, the status and the title.
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedRequest => {
                ("malformed_request", StatusCode::BAD_REQUEST, "The request cannot be read")
            }
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "A token is needed")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::RequestTimeout => {
                ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The body came too slowly")
            }
            Self::InsufficientSeats => {
                ("insufficient_seats", StatusCode::CONFLICT, "Not enough seats left")
            }
            Self::FlightNotBookable => {
                ("flight_not_bookable", StatusCode::CONFLICT, "The flight can't be booked")
            }
            Self::TooManyPending => {
                ("too_many_pending", StatusCode::CONFLICT, "Too many seats are held unpaid")
            }
            Self::VersionConflict => {
                ("version_conflict", StatusCode::CONFLICT, "The flight has changed")
            }
            Self::SeatsInUse => ("seats_in_use", StatusCode::CONFLICT, "The seats are in use"),
            Self::BookingNotCancellable => {
                ("booking_not_cancellable", StatusCode::CONFLICT, "The booking can't be cancelled")
            }
            Self::FlightCancelled => {
                ("flight_cancelled", StatusCode::CONFLICT, "The flight is cancelled")
            }
            Self::PreconditionFailed => {
                ("precondition_failed", StatusCode::PRECONDITION_FAILED, "The flight has changed")
            }
            Self::BodyTooLarge => {
                ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/json",
            ),
            Self::MisdirectedRequest => (
                "misdirected_request",
                StatusCode::MISDIRECTED_REQUEST,
                "Not a name of this service",
            ),
            Self::ValidationFailed => {
                ("validation_failed", StatusCode::UNPROCESSABLE_ENTITY, "Some fields are invalid")
            }
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key was used before",
            ),
            Self::VersionRequired => (
                "version_required",
                StatusCode::PRECONDITION_REQUIRED,
                "The flight's version is needed",
            ),
            Self::RateLimited => {
                ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here")
            }
            Self::Overloaded => {
                ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too busy just now")
            }
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Unavailable just now")
            }
        }
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The word as a sentence's beginning.
    pub const fn title(self) -> &'static str {
        self.facts().2
    }

    /// The HTTP status that it is answered with.
    pub const fn status(self) -> StatusCode {
        self.facts().1
    }
}

/// The words, as the document has them.
fn codes() -> Object {
    let codes = ObjectBuilder::new().schema_type(Type::String);
    let codes = codes.enum_values(Some(Code::ALL.map(Code::as_str)));
    codes.description(Some("The kind, for programs.")).build()
}

/// A refusal on its way out. The middleware, which knows the request's id, writes its body.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Box<str>,
    errors: Vec<Violation>,
    cause: Option<Box<str>>,
    /// Why the caller was turned away, in words that repeat nothing of what it sent.
    refusal: Option<&'static str>,
    /// Headers of its answer.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A refusal, as it is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem, and leads to its explanation: `/problems/` and its code.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_seats")]
    kind: String,
    /// The kind in words.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// This case in words.
    detail: &'a str,
    /// The kind, for programs.
    #[schema(schema_with = codes)]
    code: &'a str,
    /// Names the request in the logs.
    request_id: &'a str,
    /// The fields that break a rule.
    #[serde(skip_serializing_if = "<[Violation]>::is_empty")]
    #[schema(value_type = Vec<Violation>, required = false)]
    errors: &'a [Violation],
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into().into_boxed_str();
        Self { code, detail, errors: Vec::new(), cause: None, refusal: None, headers: Vec::new() }
    }

    /// A fault of ours: the caller is told nothing of its cause, which is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(Code::Internal, "the request could not be carried out").because(cause)
    }

    /// A token is needed; `was_sent`: there was one, which is not accepted (RFC 6750, 3).
    pub(crate) fn unauthenticated(
        detail: impl Into<String>,
        was_sent: bool,
        reason: &'static str,
    ) -> Self {
        let challenge = if was_sent { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        let problem = Self::new(Code::Unauthenticated, detail).refusing(reason);
        problem.bearing(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// The token lacks a scope.
    pub(crate) fn lacking(scope: Scope) -> Self {
        let reason = match scope {
            Scope::FlightsWrite => "its token lacks flights:write",
            Scope::BookingsAdmin => "its token lacks bookings:admin",
        };
        let scope = scope.as_str();
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        let challenge = HeaderValue::try_from(challenge).expect("scopes are words of ASCII");
        let detail = format!("this needs the scope {scope}");
        let problem = Self::new(Code::Forbidden, detail).refusing(reason);
        problem.bearing(header::WWW_AUTHENTICATE, challenge)
    }

    /// Itself with a header.
    pub(crate) fn bearing(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A page of another origin wants to change something.
    pub(crate) fn of_another_origin() -> Self {
        let detail = "pages of other origins may not change anything; CORS_ORIGINS names those \
                      that may";
        Self::new(Code::Forbidden, detail).refusing("a page of another origin")
    }

    /// Itself as an answer that turns the caller away; the log says whom, and why.
    pub(crate) fn refusing(self, reason: &'static str) -> Self {
        Self { refusal: Some(reason), ..self }
    }

    /// Why the caller was turned away, if it was.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// The kind of problem.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Itself with what the log should say of it.
    fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into().into_boxed_str()), ..self }
    }

    /// What the log should say of it, if it is no mere refusal.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// A problem that names fields.
    pub fn naming(code: Code, invalid: Invalid) -> Self {
        let detail = invalid.to_string().trim_start().to_owned();
        Self { errors: invalid.0, ..Self::new(code, detail) }
    }

    /// The response's body.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let (code, status, title) = self.code.facts();
        let body = ProblemBody {
            kind: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            request_id,
            errors: &self.errors,
        };
        super::to_json(&body)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::naming(Code::ValidationFailed, invalid)
    }
}

impl From<Error> for Problem {
    // No catch-all arm: a new error must be given its code before it compiles.
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Overloaded => Self::new(Code::Overloaded, error.to_string()),
            Error::Stopping => Self::new(Code::Unavailable, error.to_string()),
            Error::Panicked => Self::new(Code::Internal, error.to_string()),
            Error::Store(
                StoreError::Unavailable(cause)
                | StoreError::Locked(cause)
                | StoreError::TimedOut(cause),
            ) => Self::new(Code::Unavailable, "the store does not answer just now; ask again")
                .because(format!("{cause:#}")),
            Error::Store(cause @ (StoreError::Refused(_) | StoreError::Corrupt { .. })) => {
                Self::internal(format!("{:#}", anyhow::Error::new(cause)))
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::FlightNotFound(_)
            | Refusal::BookingNotFound(_)
            | Refusal::UnknownPayment(_) => Code::NotFound,
            Refusal::FlightNotBookable(_) => Code::FlightNotBookable,
            Refusal::InsufficientSeats { .. } => Code::InsufficientSeats,
            Refusal::TooManyPending { .. } => Code::TooManyPending,
            Refusal::BookingNotCancellable(_) => Code::BookingNotCancellable,
            Refusal::FlightCancelled(_) => Code::FlightCancelled,
            Refusal::VersionConflict { .. } => Code::VersionConflict,
            Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
            Refusal::VersionRequired => Code::VersionRequired,
            Refusal::SeatsInUse { .. } => Code::SeatsInUse,
            Refusal::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Refusal::Invalid(invalid) => return invalid.clone().into(),
            Refusal::AmountMismatch { .. } | Refusal::BookingMismatch(_) => Code::ValidationFailed,
        };
        Self::new(code, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem; the middleware writes its body.
    fn into_response(self) -> Response {
        let (_, status, _) = self.code.facts();
        let mut response = status.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
impl Problem {
    /// The fields that it names.
    pub(crate) fn errors(&self) -> &[Violation] {
        &self.errors
    }
}
