//! The `OpenAPI` 3.1 document, generated from the handlers.

mod examples;

use crate::http::edge::RouteTraits;
use crate::http::wire::gzip::Text;
use crate::http::wire::problem::{Code, Problem, ProblemBody};
use axum::response::Response;
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, Header, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response as Described, Type,
};

/// The media type of problems.
const PROBLEM: &str = "application/problem+json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Airline booking service",
        description = "Search flights, hold seats on one or several, pay, and watch a booking complete. Every refusal is \
            application/problem+json with a code, also for an unknown path (404) or method (405). Only a \
            request whose head can't be read (400) or is too large (431) gets a response without a body.",
    ),
    tags(
        (name = "flights", description = "Dated departures and their seats"),
        (name = "itineraries", description = "Direct flights and connections; several flights booked and paid together"),
        (name = "waitlist", description = "Parties that wait for seats of a flight"),
        (name = "bookings", description = "Seats that are held, paid for and cancelled"),
        (name = "webhooks", description = "Partners' endpoints, to which events are sent, signed as Standard Webhooks says"),
        (name = "events", description = "What happened to flights and bookings, page by page"),
        (name = "operations", description = "For operators and their machines"),
    ),
    components(schemas(ProblemBody)),
)]
struct Head;

/// The document without routes.
fn head() -> OpenApi {
    let mut document = Head::openapi();
    let description = "Needed with AUTH=jwt. `sub` is the user's number; the scopes of staff are \
                       flights:write, bookings:admin and webhooks:write.";
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
    let all = super::Shown { docs: true, metrics: true, webhooks: true };
    complete(super::groups(all).map(|(route, routes)| (route, routes.into_openapi())))
}

/// The groups of routes in one document.
fn complete(groups: impl IntoIterator<Item = (RouteTraits, OpenApi)>) -> OpenApi {
    groups
        .into_iter()
        .fold(head(), |document, (route, group)| document.merge_from(complete_group(route, group)))
}

/// Adds what all handlers have in common: examples and links; the media type and codes of problems; the refusals
/// of every route, and those of routes that need a token.
fn complete_group(route: RouteTraits, mut document: OpenApi) -> OpenApi {
    let is_limited = route.is_limited_api();
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let name = operation.operation_id.clone().unwrap_or_default();
            add_refusals(operation, is_limited);
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                let status = status.parse().unwrap_or_default();
                describe(status, response);
                add_headers(status, response, is_limited);
                if (200..300).contains(&status) {
                    illustrate(&name, response);
                }
            }
        }
    }
    document
}

/// Adds the refusals of every route of the API, and of every route that refuses anything; a refusal without a body of
/// its own is a problem. The operators' routes answer none.
fn add_refusals(operation: &mut Operation, is_api: bool) {
    let responses = &mut operation.responses.responses;
    let mut common = Vec::new();
    if is_api {
        common.extend(["400", "503"]);
    }
    if is_api && operation.request_body.is_some() {
        common.extend(["408", "413", "415"]);
    }
    if is_api || responses.iter().any(|(status, response)| is_bare_refusal(status, response)) {
        common.extend(["421", "429", "500"]);
    }
    if operation.security.is_some() {
        common.push("401");
    }
    for status in common {
        responses.entry(status.to_owned()).or_insert_with(|| Described::new("").into());
    }
    for (status, response) in responses {
        if is_bare_refusal(status, response)
            && let RefOr::T(response) = response
        {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(PROBLEM.to_owned(), problem.into());
        }
    }
}

/// Whether a response refuses, and has no body yet.
fn is_bare_refusal(status: &str, response: &RefOr<Described>) -> bool {
    let is_refusal = status.starts_with(['4', '5']);
    is_refusal && matches!(response, RefOr::T(response) if response.content.is_empty())
}

/// Adds the headers that every response with this status has.
fn add_headers(status: u16, response: &mut Described, is_limited: bool) {
    let mut names = vec!["X-Request-Id"];
    if is_limited {
        names.extend(["RateLimit", "RateLimit-Policy"]);
    }
    match status {
        401 => names.push("WWW-Authenticate"),
        429 => names.push("Retry-After"),
        503 if is_limited => names.push("Retry-After"),
        _ => {}
    }
    for name in names {
        response.headers.entry(name.to_owned()).or_insert_with(|| text_header().into());
    }
}

/// Adds the example of a response, and its links.
fn illustrate(operation: &str, response: &mut Described) {
    let shown = [
        ("application/json", examples::answer(operation)),
        ("text/csv", examples::table(operation)),
    ];
    for (form, shown) in shown {
        if let (Some(shown), Some(RefOr::T(content))) = (shown, response.content.get_mut(form)) {
            content.example = Some(shown);
        }
    }
    let links = examples::links(operation).into_iter();
    response.links.extend(links.map(|(name, link)| (name.to_owned(), RefOr::T(link))));
}

fn text_header() -> Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build()
}

fn describe(status: u16, response: &mut Described) {
    let problem_content = response.content.get_mut(PROBLEM);
    let is_problem = problem_content.is_some();
    if let Some(RefOr::T(content)) = problem_content {
        content.example = problem(status, &response.description);
    }
    if response.description.is_empty() {
        response.description = if is_problem { codes(status) } else { reason(status) };
    }
}

/// An example of a problem: with the code at the start of the description, or the first of the status.
fn problem(status: u16, description: &str) -> Option<Value> {
    let of_status = || Code::ALL.into_iter().filter(|code| code.status() == status);
    let code = of_status().find(|code| description.starts_with(code.as_str()));
    let problem = Problem::new(code.or(of_status().next())?, "what was wrong in this case");
    serde_json::from_slice(&problem.body("3b1f0a6c5d8e47d2a9c4e6f7081b2c3d")).ok()
}

/// The problem codes of a status.
fn codes(status: u16) -> String {
    let codes = Code::ALL.iter().filter(|code| code.status() == status);
    codes.map(|code| code.as_str()).collect::<Vec<_>>().join(", ")
}

/// The reason phrase of a status.
fn reason(status: u16) -> String {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default().to_owned()
}

/// The serialised document, shared by the copies of the router.
pub(crate) fn serialized(groups: Vec<(RouteTraits, OpenApi)>) -> Arc<Text> {
    Arc::new(Text::made(complete(groups).to_json().expect("a document is JSON")))
}

/// `GET /openapi.json`.
pub(crate) fn serve(document: &Text, headers: &HeaderMap) -> Response {
    document.serve(headers, "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_problems_are_problem_json_and_their_description_lists_codes() {
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
