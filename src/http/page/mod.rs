//! The page at `/`, on which people search, book, pay, wait, cancel and run flights.
//!
//! Plain modules and one style sheet that are part of the binary: there is no build step, and nothing comes from other
//! hosts. Their paths have the hash of all of them, so browsers keep them, and never mix two releases. The page calls
//! the API as any client does.

mod files;

use crate::http::routes::{Api, home};
use crate::http::wire::gzip::Text;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::{etag, header_list, response};
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use files::{FILES, File, VERSION, version_of};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;

/// Only files of this service and its API; no text becomes markup or a script.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// A file under the hash of its content.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What another release of the service answers otherwise at the same path.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// The page as this process serves it, and its tag.
struct Page {
    html: Text,
    etag: String,
}

/// The page, or a text for other programs than browsers.
pub(super) fn page(api: &Api) -> Router<Arc<Api>> {
    let page = Arc::new(Page::of(api));
    let home = get(async move |State(api): State<Arc<Api>>, headers: HeaderMap| {
        if header_list::wants_page(&headers) {
            page.serve(&headers)
        } else {
            home::text(&api, &headers)
        }
    });
    Router::new().route("/", home)
}

/// What the page loads.
pub(super) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/page/{version}/{*file}", get(asset))
}

impl Page {
    fn of(api: &Api) -> Self {
        let html = include_str!("index.html")
            .replace("{{settings}}", &settings(api))
            .replace("{{docs}}", docs(api))
            .replace("{{preload}}", &preload())
            .replace("{{version}}", &VERSION);
        let etag = format!("\"{}\"", version_of([html.as_str()]));
        Self { html: Text::made(html), etag }
    }

    fn serve(&self, headers: &HeaderMap) -> Response {
        let mut response = conditional(headers, &self.etag, |headers| {
            self.html.serve(headers, "text/html; charset=utf-8")
        });
        let fixed = [
            (CACHE_CONTROL, ASK_AGAIN),
            (CONTENT_SECURITY_POLICY, POLICY),
            (VARY, HeaderValue::from_static("accept, accept-encoding")),
        ];
        for (name, value) in fixed {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What the page must know of the service. None of it has a character that HTML escapes.
fn settings(api: &Api) -> String {
    let auth = if api.tokens.is_some() { "jwt" } else { "off" };
    let gateway = if api.sandbox.is_some() { "simulated" } else { "other" };
    let (zone, party) = (api.flights.zone.0.name(), api.limits.party_size_max);
    format!(
        "data-auth=\"{auth}\" data-gateway=\"{gateway}\" data-zone=\"{zone}\" data-party=\"{party}\""
    )
}

fn docs(api: &Api) -> &'static str {
    if api.shown.docs { " For programs: <a href=\"docs\">API reference</a>." } else { "" }
}

/// Links to the modules of the first view, which are loaded at once and not one after the other.
fn preload() -> String {
    let first = FILES.iter().filter(|file| file.is_first);
    first.fold(String::new(), |links, File { path, .. }| {
        links + "<link rel=\"modulepreload\" href=\"page/{{version}}/" + path + "\">\n"
    })
}

/// A file of the page. Under the name of another release it is served as it is here, and not kept.
async fn asset(
    named: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Code::NotFound, "there is nothing at this path");
    // A path that is not UTF-8 names no file either.
    let Path((version, path)) = named.map_err(|_| missing())?;
    let file = FILES.iter().find(|file| file.path == path).ok_or_else(missing)?;
    let etag = format!("\"{}\"", *VERSION);
    let mut response = conditional(&headers, &etag, |headers| file.serve(headers));
    let keep = if version == *VERSION { FOR_EVER } else { ASK_AGAIN };
    response.headers_mut().insert(CACHE_CONTROL, keep);
    Ok(response)
}

/// The answer with its tag, or 304 if the client has it. The tag is weak: it is that of the zipped answer too.
fn conditional(
    headers: &HeaderMap,
    etag: &str,
    serve: impl FnOnce(&HeaderMap) -> Response,
) -> Response {
    let mut answer = if etag::is_known(headers, etag) {
        response::<0>(StatusCode::NOT_MODIFIED, [], Body::empty())
    } else {
        serve(headers)
    };
    let tag = HeaderValue::try_from(format!("W/{etag}")).expect("a hash is a header's text");
    answer.headers_mut().insert(ETAG, tag);
    answer
}
