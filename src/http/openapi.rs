//! The `OpenAPI` 3.1 document, made from the handlers.

mod examples;

use super::gzip::Text;
use super::problem::{Code, Problem};
use axum::response::Response;
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Header, HeaderBuilder, ObjectBuilder, OpenApi, RefOr, Response as Described, Type,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Airline booking service",
        description = "Search flights, hold seats, pay, and watch a booking complete.",
    ),
    tags(
        (name = "flights", description = "Dated departures and their seats"),
        (name = "bookings", description = "Seats held, paid for, given up"),
        (name = "operations", description = "For operators and their machines"),
    )
)]
struct Head;

/// The document's head, to which the routes are added.
pub(super) fn head() -> OpenApi {
    let mut document = Head::openapi();
    let description = "Needed with AUTH=jwt. `sub` is the user's number; staff has the scopes \
                       flights:write and bookings:admin.";
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(description))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

/// The whole document.
pub fn openapi() -> OpenApi {
    complete(super::described_routes().split_for_parts().1)
}

/// What the handlers need not repeat: the problems' media type and codes, that any may fail or be
/// asked too often, and that those for callers with a token refuse others.
fn complete(mut document: OpenApi) -> OpenApi {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put];
        for operation in operations.into_iter().flatten() {
            add_common_refusals(operation);
            for (status, response) in &mut operation.responses.responses {
                let is_problem = is_problem(response);
                if let RefOr::T(response) = response {
                    describe(status.parse().unwrap_or_default(), response, is_problem);
                }
            }
        }
    }
    document
}

/// Where there are problems at all, which the operators' endpoints do not have.
fn add_common_refusals(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let refused = responses.values().find(|response| is_problem(response)).cloned();
    let Some(RefOr::T(mut problem)) = refused else { return };
    problem.description.clear();
    problem.headers.clear();
    let mut common =
        vec![("429", &["Retry-After", "RateLimit", "RateLimit-Policy"][..]), ("500", &[])];
    if operation.security.is_some() {
        common.push(("401", &["WWW-Authenticate"]));
    }
    for (status, headers) in common {
        let mut problem = problem.clone();
        problem
            .headers
            .extend(headers.iter().map(|name| ((*name).to_owned(), text_header().into())));
        responses.insert(status.to_owned(), RefOr::T(problem));
    }
}

fn text_header() -> Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build()
}

/// Whether a response's body is a problem. A failed health check is not: it says what is down.
fn is_problem(response: &RefOr<Described>) -> bool {
    let RefOr::T(response) = response else { return false };
    response.content.values().any(|content| {
        let RefOr::T(content) = content else { return false };
        let Some(RefOr::Ref(schema)) = &content.schema else { return false };
        schema.ref_location.ends_with("/Problem")
    })
}

fn describe(status: u16, response: &mut Described, is_problem: bool) {
    if is_problem && let Some(content) = response.content.shift_remove("application/json") {
        response.content.insert("application/problem+json".to_owned(), content);
    }
    if response.description.is_empty() {
        response.description = if is_problem { codes(status) } else { reason(status) };
    }
}

/// The problem codes that are answered with a status.
fn codes(status: u16) -> String {
    let codes = Code::ALL.iter().filter(|code| code.status() == status);
    codes.map(|code| code.as_str()).collect::<Vec<_>>().join(", ")
}

/// The status in words, as HTTP has them.
fn reason(status: u16) -> String {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default().to_owned()
}

/// The whole document as it is sent: made once, since a router is copied often.
pub(super) fn serialized(document: OpenApi) -> Arc<Text> {
    Arc::new(Text::made(complete(document).to_json().expect("a document is JSON")))
}

/// `GET /openapi.json`.
pub(super) fn serve(document: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_and_only_they_are_problem_json_with_their_codes() {
        let document = serde_json::to_value(openapi()).expect("a document is JSON");
        let responses = |path: &str| document["paths"][path]["get"]["responses"].clone();

        let flight = responses("/api/v1/flights/{id}");
        assert_eq!(flight["404"]["description"], "not_found");
        assert_eq!(flight["500"]["description"], "internal");
        assert!(flight["503"]["content"]["application/problem+json"].is_object());

        let health = responses("/api/v1/health");
        assert!(health["503"]["content"]["application/json"].is_object());
        assert!(health["500"].is_null());
    }
}
