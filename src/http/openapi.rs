//! The `OpenAPI` 3.1 document, made from the handlers.

use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi, RefOr, Response as Described};

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
    Head::openapi()
}

/// The whole document.
pub fn openapi() -> OpenApi {
    complete(super::described_routes().split_for_parts().1)
}

/// Problems are sent as `application/problem+json`, wherever a handler names one.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    describe(status, response);
                }
            }
        }
    }
    document
}

fn describe(status: &str, response: &mut Described) {
    let is_problem = status.starts_with(['4', '5']);
    if is_problem && let Some(content) = response.content.shift_remove("application/json") {
        response.content.insert("application/problem+json".to_owned(), content);
    }
    if response.description.is_empty() {
        let code = status.parse::<u16>().ok().and_then(|s| http::StatusCode::from_u16(s).ok());
        let reason = code.and_then(|code| code.canonical_reason()).unwrap_or(status);
        reason.clone_into(&mut response.description);
    }
}

/// `GET /openapi.json`.
pub(super) fn serve(document: &OpenApi) -> Response {
    axum::Json(document).into_response()
}
