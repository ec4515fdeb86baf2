//! `/docs`: the API reference, shown by Swagger UI.
//!
//! The files of a pinned Swagger UI release are part of the binary, zipped: the page loads nothing from
//! other hosts, and the build needs neither network nor crates for it. `swagger-ui/update` replaces them.

use crate::http::wire::gzip::{Text, Zipped};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderMap;
use http::header::CONTENT_SECURITY_POLICY;

/// Only files of this service, its API, and the icons inside the style sheet; no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static PAGE: Text = Text::of(include_str!("page.html"));
static START: Text = Text::of(include_str!("start.js"));
static SWAGGER_UI: Zipped = Zipped::of(include_bytes!("swagger-ui/swagger-ui-bundle.js.gz"));
static STYLE: Zipped = Zipped::of(include_bytes!("swagger-ui/swagger-ui.css.gz"));

/// The licence goes with every copy of Swagger UI, which the binary is.
static LICENCES: Text = Text::of(concat!(
    include_str!("swagger-ui/NOTICE"),
    "\n\n",
    include_str!("swagger-ui/LICENSE"),
    "\n\n",
    include_str!("swagger-ui/swagger-ui-bundle.js.LICENSE.txt"),
));

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The page and what it loads.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let text = |text: &'static Text, media_type: &'static str| {
        get(async move |headers: HeaderMap| with_policy(text.serve(&headers, media_type)))
    };
    let zipped = |file: &'static Zipped, media_type: &'static str| {
        get(async move |headers: HeaderMap| with_policy(file.serve(&headers, media_type)))
    };
    Router::new()
        .route("/docs", text(&PAGE, HTML))
        .route("/docs/start.js", text(&START, JAVASCRIPT))
        .route("/docs/swagger-ui-bundle.js", zipped(&SWAGGER_UI, JAVASCRIPT))
        .route("/docs/swagger-ui.css", zipped(&STYLE, CSS))
        // The name to which the first line of the bundle refers.
        .route("/docs/swagger-ui-bundle.js.LICENSE.txt", text(&LICENCES, PLAIN))
}

fn with_policy(response: Response) -> Response {
    ([(CONTENT_SECURITY_POLICY, POLICY)], response).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;

    #[test]
    fn the_committed_files_are_those_of_the_pinned_release() {
        let hash = |file: &Zipped| {
            let digest: [u8; 32] = Sha256::digest(file.plain()).into();
            digest.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes every text");
                hex
            })
        };
        let sums = include_str!("swagger-ui/SHA256SUMS");
        for (name, file) in [("swagger-ui-bundle.js", &SWAGGER_UI), ("swagger-ui.css", &STYLE)] {
            let line = format!("{}  {name}", hash(file));
            assert!(sums.lines().any(|sum| sum == line), "{line} is not in SHA256SUMS");
        }
    }
}
