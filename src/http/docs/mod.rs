//! `/docs`: a page that shows the `OpenAPI` document. Three small files, and nothing from elsewhere.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

/// Only what this service itself serves, and no page that frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and what it loads.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/docs", get(async || file("text/html", include_str!("page.html"))))
        .route("/docs/style.css", get(async || file("text/css", include_str!("style.css"))))
        .route("/docs/script.js", get(async || file("text/javascript", include_str!("script.js"))))
}

fn file(media_type: &str, text: &'static str) -> impl IntoResponse + use<> {
    let media_type = format!("{media_type}; charset=utf-8");
    let head = [(CONTENT_TYPE, media_type), (CONTENT_SECURITY_POLICY, POLICY.to_owned())];
    (head, text)
}
