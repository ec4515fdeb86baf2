//! The headers that every response has.
//!
//! One step and not a `SetResponseHeaderLayer` of tower-http for each: four of them cost a cached search a
//! tenth of its instructions (docs/adr/0011-few-layers-around-a-search.md).

use super::step::Step;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use std::ops::ControlFlow;

/// Forbids a browser to run, frame or load anything in a response; `/docs` has a policy of its own.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Forbids pages of other origins to load a response as an image or a script.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Sets the headers that protect browsers, and keeps personal responses out of caches.
#[derive(Clone, Copy)]
pub(super) struct FixedHeaders {
    pub(super) is_personal: bool,
}

impl Step for FixedHeaders {
    /// Whether the response is personal.
    type Kept = bool;

    fn enter(&self, _: &mut Request) -> ControlFlow<Response, bool> {
        ControlFlow::Continue(self.is_personal)
    }

    fn leave(is_personal: bool, response: &mut Response) {
        let headers = response.headers_mut();
        if is_personal {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
        headers.insert(REFERRER_POLICY, NO_REFERRER);
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
}
