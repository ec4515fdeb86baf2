//! `/problems/{code}`, the `type` of each problem: its explanation as a page, or as JSON.

use super::Api;
use crate::http::wire::header_list;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Serialize;
use std::sync::Arc;

/// The explanation of a kind of problem.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemKind {
    /// The `type` of its problems.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_seats")]
    kind: String,
    /// The code of its problems.
    #[schema(value_type = String, example = "insufficient_seats")]
    code: &'static str,
    /// The kind in a few words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What causes it, and what the caller can do.
    #[schema(value_type = String)]
    description: &'static str,
}

/// Explains a kind of problem.
///
/// As HTML for browsers, else as JSON.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "explainProblem", tag = "operations",
    params(
        ("code" = String, Path, pattern = "^[a-z_]+$", example = "insufficient_seats"),
        ("Accept" = Option<String>, Header, nullable = false, description = "text/html gives a page"),
    ),
    responses(
        (status = 200, content((ProblemKind = "application/json"), (String = "text/html")), headers(("Vary" = String))),
        (status = 404, description = "not_found: no problem has this code"),
    )
)]
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    code: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // A path that is not UTF-8 names no code either.
    let is_named = |known: &Code| matches!(&code, Ok(Path(code)) if code == known.as_str());
    let code = Code::ALL.into_iter().find(is_named);
    let code = code.ok_or_else(|| Problem::new(Code::NotFound, "no problem has this code"))?;
    let kind = ProblemKind {
        kind: format!("/problems/{}", code.as_str()),
        code: code.as_str(),
        title: code.title(),
        status: code.status().as_u16(),
        description: code.description(),
    };
    let varies = [(header::VARY, "accept")];
    Ok(if header_list::wants_page(&headers) {
        (varies, Html(page(&kind, api.shown.docs))).into_response()
    } else {
        (varies, axum::Json(kind)).into_response()
    })
}

/// Needs no escaping: all texts are constants without special characters.
fn page(kind: &ProblemKind, has_docs: bool) -> String {
    let ProblemKind { code, title, status, description, .. } = kind;
    let docs = if has_docs { "<p><a href=\"/docs\">API reference</a></p>\n" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<p><code>{code}</code>, status {status}</p>\n<p>{description}</p>\n\
         {docs}</html>\n"
    )
}
