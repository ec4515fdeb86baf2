//! What every request passes before it is worked on, and what every answer bears.

use super::limits::{Limiter, Verdict};
use super::problem::{Code, Problem};
use super::{client, cors};
use crate::config::{Config, CorsOrigins, Network};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method};
use std::time::{Duration, Instant};

/// Routes that no limit touches: whoever watches the service must not lose sight of it in a rush.
const UNLIMITED: [&str; 4] = ["/api/v1/health", "/livez", "/readyz", "/metrics"];

/// Who may come in, and how often.
pub struct Edge {
    /// What each client has used of its limit; `None`: there is none.
    limiter: Option<Limiter>,
    /// Whose word on a client's address is believed.
    trusted_proxies: Vec<Network>,
    /// Whose pages may call.
    origins: CorsOrigins,
}

impl Edge {
    /// As the settings want it.
    pub fn by(config: &Config) -> Self {
        Self {
            limiter: config.rate_limit.map(Limiter::new),
            trusted_proxies: config.trusted_proxies.clone(),
            origins: config.cors_origins.clone(),
        }
    }

    /// Lets a request in, or gives the answer that turns it away.
    pub(super) fn pass(
        &self,
        request: &Request,
        path: &str,
        at: Instant,
    ) -> (Passed, Option<Response>) {
        let origin = cors::allowed(&self.origins, request);
        let is_options = request.method() == Method::OPTIONS;
        let passed = |left| Passed { left, origin: origin.clone(), is_options };
        let limiter = self.limiter.as_ref().filter(|_| !UNLIMITED.contains(&path));
        let verdict = limiter.map(|limiter| {
            (limiter, limiter.ask(client::address(request, &self.trusted_proxies), at))
        });
        let preflight = || origin.as_ref().and_then(|_| cors::preflight(request));
        match verdict {
            None => (passed(None), preflight()),
            Some((_, Verdict::Admitted { left })) => (passed(Some(left)), preflight()),
            Some((limiter, Verdict::Refused { retry_after })) => {
                (passed(Some(0)), Some(too_many(limiter, retry_after)))
            }
        }
    }

    /// Adds what every answer bears.
    pub(super) fn finish(&self, passed: Passed, response: &mut Response) {
        if passed.is_options
            && let Some(allowed) = cors::options(response)
        {
            *response = allowed;
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let (Some(limiter), Some(left)) = (&self.limiter, passed.left) {
            for (name, value) in limiter.headers(left) {
                headers.insert(name, value);
            }
        }
        cors::finish(&self.origins, passed.origin, headers);
    }
}

/// What the answer will need to know of its request.
pub(super) struct Passed {
    /// Requests that the client may still make at once, if it has a limit.
    left: Option<u32>,
    /// The origin whose page may read the answer.
    origin: Option<HeaderValue>,
    is_options: bool,
}

fn too_many(limiter: &Limiter, retry_after: Duration) -> Response {
    let limit = limiter.limit();
    let detail = format!(
        "more than {} requests a second (RATE_LIMIT_RPS) beyond {} at once (RATE_LIMIT_BURST)",
        limit.per_second, limit.burst
    );
    let mut response = Problem::new(Code::RateLimited, detail).into_response();
    // Whole seconds, rounded up: earlier it would be refused again.
    let seconds = retry_after.as_millis().div_ceil(1_000) as u64;
    response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
    response
}
