//! Keeps pages of other origins from changing anything while callers need no token (`AUTH=off`).
//!
//! A page may send a form, or a `POST` without a body, to any host without a preflight; the browser then adds the
//! page's origin. Requests without an origin come from other programs, and pass.

use crate::config::{Config, CorsOrigins};
use crate::http::wire::problem::Problem;
use axum::response::{IntoResponse, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tracing::warn;

/// The layer, with its refusal as a problem.
pub(super) type Csrf = CsrfLayer<fn(ProtectionError) -> Response>;

/// Refuses changes from pages of other origins, unless `CORS_ORIGINS` lists the origin. `None` if callers need a
/// token, since no browser adds one by itself.
pub(super) fn layer(config: &Config) -> Option<Csrf> {
    if config.auth.is_some() {
        return None;
    }
    let mut layer = CsrfLayer::new();
    if let CorsOrigins::Listed(origins) = &config.cors_origins {
        for origin in origins {
            match layer.clone().add_trusted_origin(origin) {
                Ok(trusting) => layer = trusting,
                Err(error) => warn!(%error, "CORS_ORIGINS names an origin that no browser sends"),
            }
        }
    }
    Some(layer.with_rejection_response(refusal))
}

fn refusal(_: ProtectionError) -> Response {
    Problem::of_another_origin().into_response()
}
