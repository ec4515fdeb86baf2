//! `/docs`: a page that shows the `OpenAPI` document. Three small files, and nothing from elsewhere.

use super::wire::gzip::Text;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::HeaderMap;
use http::header::CONTENT_SECURITY_POLICY;

/// Only what this service itself serves, and no page that frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static PAGE: Text = Text::of(include_str!("page.html"));
static STYLE: Text = Text::of(include_str!("style.css"));
static SCRIPT: Text = Text::of(include_str!("script.js"));

/// The page and what it loads.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |text: &'static Text, media_type: &'static str| {
        get(async move |headers: HeaderMap| {
            ([(CONTENT_SECURITY_POLICY, POLICY)], text.serve(&headers, media_type)).into_response()
        })
    };
    Router::new()
        .route("/docs", file(&PAGE, "text/html; charset=utf-8"))
        .route("/docs/style.css", file(&STYLE, "text/css; charset=utf-8"))
        .route("/docs/script.js", file(&SCRIPT, "text/javascript; charset=utf-8"))
}
