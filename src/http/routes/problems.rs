//! What each problem's `type` leads to: a short page for people, or the same as JSON.

use super::Api;
use crate::http::wire::header_list;
use crate::http::wire::problem::{Code, Problem, ProblemBody};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Serialize;
use std::sync::Arc;

/// A kind of problem.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemKind {
    /// What a problem's `type` is.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_seats")]
    kind: String,
    /// The code of its problems.
    #[schema(value_type = String, example = "insufficient_seats")]
    code: &'static str,
    /// The kind in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// When it is answered, and what to do.
    #[schema(value_type = String)]
    description: &'static str,
}

/// Explains a kind of problem.
///
/// As HTML for browsers, else as JSON.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations",
    params(
        ("code" = String, Path, pattern = "^[a-z_]+$", example = "insufficient_seats"),
        ("Accept" = Option<String>, Header, nullable = false, description = "text/html gives a page"),
    ),
    responses(
        (status = 200, content((ProblemKind = "application/json"), (String = "text/html")), headers(("Vary" = String))),
        (status = 404, body = ProblemBody, description = "not_found: no problem has this code"),
    )
)]
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = Code::ALL.into_iter().find(|known| known.as_str() == code);
    let code = code.ok_or_else(|| Problem::new(Code::NotFound, "no problem has this code"))?;
    let kind = ProblemKind {
        kind: format!("/problems/{}", code.as_str()),
        code: code.as_str(),
        title: code.title(),
        status: code.status().as_u16(),
        description: description(code),
    };
    let varies = [(header::VARY, "accept")];
    Ok(if header_list::wants_page(&headers) {
        (varies, Html(page(&kind, api.shown.docs))).into_response()
    } else {
        (varies, axum::Json(kind)).into_response()
    })
}

/// Plain words of this file alone, so that nothing needs escaping.
fn page(kind: &ProblemKind, has_docs: bool) -> String {
    let ProblemKind { code, title, status, description, .. } = kind;
    let docs =
        if has_docs { "<p><a href=\"/docs\">All requests and their answers</a></p>\n" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<p><code>{code}</code>, status {status}</p>\n<p>{description}</p>\n\
         {docs}</html>\n"
    )
}

/// When a problem is answered, and what to do.
const fn description(code: Code) -> &'static str {
    match code {
        Code::MalformedRequest => {
            "The body is not JSON, or the path or query can't be read. The detail says where. Mend the \
             request; a repeat is refused again."
        }
        Code::Unauthenticated => {
            "There is no token, or one that is not accepted. Send a valid one as Authorization: Bearer."
        }
        Code::Forbidden => {
            "The token lacks a scope, or names another user, or a page of another origin asks. Ask as \
             someone who may."
        }
        Code::NotFound => {
            "There is no such path, flight or booking, or the booking is another user's."
        }
        Code::MethodNotAllowed => "The path does not take this method. Allow names those it takes.",
        Code::RequestTimeout => {
            "The body did not arrive within SERVER_READ_TIMEOUT. Nothing was done; send it again."
        }
        Code::InsufficientSeats => {
            "The flight has fewer free seats than were asked for. Ask for fewer, or choose another \
             flight."
        }
        Code::FlightNotBookable => {
            "The flight has departed, is cancelled, or is too close to departure to be sold."
        }
        Code::TooManyPending => {
            "The user holds as many seats of the flight unpaid as one may (MAX_PENDING_PER_USER). Ask \
             again when a payment has ended, or give a pending booking up."
        }
        Code::VersionConflict => {
            "The flight has changed since the version in the body. Read it again and decide anew."
        }
        Code::SeatsInUse => {
            "The new seat counts would take seats that are sold or held. The detail counts them."
        }
        Code::BookingNotCancellable => {
            "The booking has failed, or its flight has departed. There is nothing to give up."
        }
        Code::FlightCancelled => "A cancelled flight stays cancelled, and can't be changed.",
        Code::PreconditionFailed => {
            "If-Match names no version that the flight has. Read it again and decide anew."
        }
        Code::BodyTooLarge => "A body is at most 64 KiB.",
        Code::UnsupportedMediaType => {
            "A body is sent as Content-Type: application/json, in UTF-8 and without compression."
        }
        Code::MisdirectedRequest => {
            "The Host is no name of this service: a page of another name asks, or a proxy passes its \
             own on. ALLOWED_HOSTS lists the names, besides localhost and addresses."
        }
        Code::ValidationFailed => {
            "The request is well-formed, but fields break rules. The list of errors names each field \
             and its rule."
        }
        Code::IdempotencyKeyReused => {
            "The Idempotency-Key came with another request within the last 24 hours. A new request \
             needs a new key."
        }
        Code::VersionRequired => {
            "Seat counts change only against a known version: send the flight's version in the body, \
             or its ETag as If-Match."
        }
        Code::RateLimited => {
            "The client asks more often than RATE_LIMIT_RPS and RATE_LIMIT_BURST allow. Wait for \
             Retry-After seconds."
        }
        Code::Internal => "A fault of the service. Its log names the cause under the request's id.",
        Code::Overloaded => {
            "More is asked than can be done now. Nothing was done; ask again after Retry-After seconds."
        }
        Code::Unavailable => {
            "The store or the issuer of keys does not answer, or not in time. Ask again after \
             Retry-After seconds, with the same Idempotency-Key: what was asked may have been done."
        }
    }
}
