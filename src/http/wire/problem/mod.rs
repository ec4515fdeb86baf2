//! Problems: every refusal and failure as RFC 9457 problem details, with a code for programs.

mod code;

pub use code::Code;

use crate::domain::{Invalid, Money, Violation};
use crate::identity::Scope;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A refusal or failure. The outer layer, which knows the request's id, writes its body.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Box<str>,
    errors: Vec<Violation>,
    /// For the log alone.
    cause: Option<Box<str>>,
    /// For the log: why the caller was refused, without any text of the request.
    refusal: Option<&'static str>,
    /// Extra headers of the response.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the caller needs to go on.
    figures: Option<Box<Figures>>,
}

/// Amounts of now, of a problem that says that others have changed; or a place in the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) price: Option<Money>,
    pub(crate) refund: Option<Money>,
    pub(crate) fee: Option<Money>,
    pub(crate) difference: Option<Money>,
    pub(crate) oldest: Option<String>,
}

/// A refusal or failure (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// The kind of problem: `/problems/` and the code. The path answers with an explanation.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_seats")]
    kind: String,
    /// The kind in a few words.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// This case in words.
    detail: &'a str,
    /// The kind, for programs.
    #[schema(schema_with = codes)]
    code: &'a str,
    /// The id of the request in the logs.
    request_id: &'a str,
    /// The fields that break a rule.
    #[serde(skip_serializing_if = "<[Violation]>::is_empty")]
    #[schema(value_type = Vec<Violation>, required = false)]
    errors: &'a [Violation],
    /// Of `price_changed`: the price of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    price: Option<Money>,
    /// Of `refund_changed`: the refund of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refund: Option<Money>,
    /// Of `refund_changed`: the fee of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fee: Option<Money>,
    /// Of `difference_changed`: what is to pay now, or below zero comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    difference: Option<Money>,
    /// Of `cursor_expired`: the cursor of the oldest event that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest: Option<&'a str>,
}

/// The schema of `code`: one of all codes.
fn codes() -> Object {
    let words = Code::ALL.iter().map(|code| code.as_str());
    let codes = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    codes.description(Some("The kind, for programs.")).build()
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong in this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into().into_boxed_str();
        let (errors, headers) = (Vec::new(), Vec::new());
        Self { code, detail, errors, cause: None, refusal: None, headers, figures: None }
    }

    /// A fault of the service. The cause goes to the log and not to the caller.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(Code::Internal, "the request could not be carried out").because(cause)
    }

    /// 401 with its challenge. `was_sent`: the request has a token, which is not accepted (RFC 6750, 3).
    pub(crate) fn unauthenticated(
        detail: impl Into<String>,
        was_sent: bool,
        reason: &'static str,
    ) -> Self {
        let challenge = if was_sent { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        let problem = Self::new(Code::Unauthenticated, detail).refusing(reason);
        problem.bearing(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 403: the token lacks a scope.
    pub(crate) fn lacking(scope: Scope) -> Self {
        let reason = match scope {
            Scope::FlightsWrite => "its token lacks flights:write",
            Scope::BookingsAdmin => "its token lacks bookings:admin",
            Scope::WebhooksWrite => "its token lacks webhooks:write",
        };
        let scope = scope.as_str();
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        let challenge = HeaderValue::try_from(challenge).expect("scopes are words of ASCII");
        let detail = format!("this needs the scope {scope}");
        let problem = Self::new(Code::Forbidden, detail).refusing(reason);
        problem.bearing(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: a page of another origin tries to change something.
    pub(crate) fn of_another_origin() -> Self {
        let detail = "pages of other origins may not change anything; CORS_ORIGINS lists those \
                      that may";
        Self::new(Code::Forbidden, detail).refusing("a page of another origin")
    }

    /// A problem that lists fields and their rules.
    pub fn naming(code: Code, invalid: Invalid) -> Self {
        let detail = invalid.to_string().trim_start().to_owned();
        Self { errors: invalid.0, ..Self::new(code, detail) }
    }

    /// Names the field that the whole problem is about.
    pub(crate) fn at(self, pointer: String) -> Self {
        let errors = vec![Violation { pointer, detail: self.detail.to_string() }];
        Self { errors, ..self }
    }

    /// Adds amounts that the caller needs to go on.
    pub(crate) fn with(self, figures: Figures) -> Self {
        Self { figures: Some(figures.into()), ..self }
    }

    /// Adds a header to the response.
    pub(crate) fn bearing(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Marks the problem as a refusal of the caller, which is logged with the client and this reason.
    pub(crate) fn refusing(self, reason: &'static str) -> Self {
        Self { refusal: Some(reason), ..self }
    }

    /// Adds the cause, for the log.
    pub(crate) fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into().into_boxed_str()), ..self }
    }

    /// Why the caller was refused; `None` for other problems.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// The kind of problem.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The cause, for the log; `None` for a refusal.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The fields that break a rule.
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[Violation] {
        &self.errors
    }

    /// The JSON of the response.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let figures = self.figures.as_deref().cloned().unwrap_or_default();
        let Figures { price, refund, fee, difference, oldest } = figures;
        super::to_json(&ProblemBody {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
            price,
            refund,
            fee,
            difference,
            oldest: oldest.as_deref(),
        })
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::naming(Code::ValidationFailed, invalid)
    }
}

impl IntoResponse for Problem {
    /// A response without a body that carries the problem in its extensions, for the outer layer.
    fn into_response(self) -> Response {
        let status = self.code.status();
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
