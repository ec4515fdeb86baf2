//! `GET /` for other programs than browsers: what this service is and how to use it.

use super::Api;
use crate::http::wire::host;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

/// A text, with the host and scheme that the caller used.
pub(crate) fn text(api: &Api, headers: &HeaderMap) -> Response {
    let base = host::origin(headers);
    let date = api.search.tomorrow();
    let search =
        format!("{base}/api/v1/flights/search?source=Delhi&destination=Mumbai&date={date}");
    let docs =
        if api.shown.docs { format!("  API reference: {base}/docs\n") } else { String::new() };
    let text = format!(
        "airline-booking: searches flights, holds seats and takes payments.\n\n\
         {docs}  health:        {base}/api/v1/health\n\nTry it:\n  curl \"{search}\"\n"
    );
    ([(header::VARY, "accept")], text).into_response()
}
