//! `GET /`: what this service is and how to use it. HTML for browsers, text for other clients.

use super::Api;
use crate::http::wire::{header_list, host};
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, header};
use std::sync::Arc;

/// The page or the text, with the host and scheme that the caller used.
pub(crate) async fn home(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let base = host::origin(&headers);
    let date = api.search.tomorrow();
    let search =
        format!("{base}/api/v1/flights/search?source=Delhi&destination=Mumbai&date={date}");
    let varies = [(header::VARY, "accept")];
    if header_list::wants_page(&headers) {
        (varies, Html(page(&search, api.shown.docs))).into_response()
    } else {
        (varies, text(&base, &search, api.shown.docs)).into_response()
    }
}

/// Escapes `&` alone: a `Host` with other special characters never gets here.
fn page(search: &str, has_docs: bool) -> String {
    let docs = if has_docs { "<li><a href=\"docs\">API reference</a></li>\n" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Airline booking</title>\n<h1>Airline booking</h1>\n\
         <p>This service searches flights, holds seats and takes payments. It is an API for programs.</p>\n\
         <ul>\n{docs}<li><a href=\"api/v1/health\">Health</a></li>\n</ul>\n\
         <p>A first request:</p>\n<pre>curl \"{}\"</pre>\n</html>\n",
        search.replace('&', "&amp;")
    )
}

fn text(base: &str, search: &str, has_docs: bool) -> String {
    let docs = if has_docs { format!("  API reference: {base}/docs\n") } else { String::new() };
    format!(
        "airline-booking: searches flights, holds seats and takes payments.\n\n\
         {docs}  health:        {base}/api/v1/health\n\nTry it:\n  curl \"{search}\"\n"
    )
}
