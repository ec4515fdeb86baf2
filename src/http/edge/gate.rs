//! What every request passes before it is worked on, and what every answer bears.

use super::allowed_hosts::AllowedHosts;
use super::rate_limit::{Limiter, Verdict};
use super::refusals::Refusals;
use super::{client, cors, framing};
use crate::config::{Config, CorsOrigins, Network};
use crate::http::routes::{bookings, search};
use crate::http::wire::host;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Routes that no limit touches: whoever watches the service must not lose sight of it in a rush.
const PROBES: [&str; 4] = ["/api/v1/health", "/livez", "/readyz", "/metrics"];

/// Nothing in an answer is to be run, framed or loaded; `/docs` has a policy of its own.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Routes whose answers, refusals among them, are about one person.
const PERSONAL: [&str; 2] = [bookings::PATH, "/api/v1/users/"];

/// What a page of another origin may load as an image, a script or the like: nothing.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Whether whoever watches the service asks.
pub(crate) fn is_probe(path: &str) -> bool {
    PROBES.contains(&path)
}

/// Who may come in, and how often.
pub struct Edge {
    /// What each client has used of its limit; `None`: there is none.
    limiter: Option<Limiter>,
    /// Whose word on a client's address is believed.
    trusted_proxies: Vec<Network>,
    /// Whose pages may call.
    origins: CorsOrigins,
    /// Whether pages of others are kept from changing anything: a token that no browser adds by
    /// itself would do that as well, but callers need none.
    is_guarded: bool,
    /// By which names the service is called; `None`: by any.
    hosts: Option<AllowedHosts>,
    /// Which refusals have a log line.
    pub(crate) refusals: Refusals,
    /// Whose traces are gone on with (`TRACING_TRUST_CALLER`); `None`: those of this machine.
    trusts_callers: Option<bool>,
}

impl Edge {
    /// As the settings want it.
    pub fn by(config: &Config) -> Self {
        Self {
            limiter: config.rate_limit.map(Limiter::new),
            trusted_proxies: config.trusted_proxies.clone(),
            origins: config.cors_origins.clone(),
            is_guarded: config.auth.is_none(),
            hosts: AllowedHosts::by(config),
            refusals: Refusals::default(),
            trusts_callers: config.tracing.as_ref().and_then(|tracing| tracing.trust_caller),
        }
    }

    /// The address of whoever sent the request.
    pub(crate) fn client(&self, request: &Request) -> IpAddr {
        client::address(request, &self.trusted_proxies)
    }

    /// Whether the trace that a request came with is gone on with, and kept if its caller wants that.
    pub(crate) fn trusts_trace_of(&self, request: &Request) -> bool {
        self.trusts_callers.unwrap_or_else(|| {
            let client = self.client(request).to_canonical();
            // A request without a connection is a test's.
            client.is_loopback() || client.is_unspecified()
        })
    }

    /// Lets a request in, or gives the answer that turns it away.
    pub(crate) fn pass(
        &self,
        request: &Request,
        path: &str,
        at: Instant,
    ) -> (Passed, Option<Response>) {
        let origin = cors::allowed(&self.origins, request);
        let is_options = request.method() == Method::OPTIONS;
        let passed = |left| Passed { left, origin: origin.clone(), is_options };
        let limiter = self.limiter.as_ref().filter(|_| !is_probe(path));
        let verdict = limiter.map(|limiter| (limiter, limiter.ask(self.client(request), at)));
        let fault = || {
            let malformed = host::fault(request).or_else(|| framing::fault(request));
            malformed.or_else(|| self.misdirected(request, path))
        };
        let turned_away = || match (fault(), &origin) {
            (Some(fault), _) => Some(fault.into_response()),
            (None, Some(_)) => cors::preflight(request),
            (None, None) if self.is_guarded && cors::is_forged(request) => {
                Some(Problem::of_another_origin().into_response())
            }
            (None, None) => None,
        };
        match verdict {
            None => (passed(None), turned_away()),
            Some((_, Verdict::Admitted { left })) => (passed(Some(left)), turned_away()),
            Some((limiter, Verdict::Refused { retry_after })) => {
                (passed(Some(0)), Some(too_many(limiter, retry_after)))
            }
        }
    }

    /// The problem with the name by which a request calls the service. Probes may use any name.
    fn misdirected(&self, request: &Request, path: &str) -> Option<Problem> {
        self.hosts.as_ref().filter(|_| !is_probe(path))?.fault(request)
    }

    /// Adds what every answer bears, and to all but searches, which are many and hold nothing that
    /// is anyone's own, what a browser may do with them. What is about bookings, or why they are not
    /// shown, must be kept by no cache on the way.
    pub(crate) fn finish(&self, passed: Passed, path: &str, response: &mut Response) {
        let is_search = path == search::PATH && !response.status().is_client_error();
        if passed.is_options
            && let Some(allowed) = cors::options(response)
        {
            *response = allowed;
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if !is_search {
            headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
            headers.insert(REFERRER_POLICY, NO_REFERRER);
            headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
        }
        if PERSONAL.iter().any(|personal| path.starts_with(personal)) {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        if let (Some(limiter), Some(left)) = (&self.limiter, passed.left) {
            for (name, value) in limiter.headers(left) {
                headers.insert(name, value);
            }
        }
        cors::finish(&self.origins, passed.origin, headers);
    }
}

/// What the answer will need to know of its request.
pub(crate) struct Passed {
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
    let problem = Problem::new(Code::RateLimited, detail).refusing("it asks too often");
    let mut response = problem.into_response();
    // Whole seconds, rounded up: earlier it would be refused again.
    let seconds = retry_after.as_millis().div_ceil(1_000) as u64;
    response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
    response
}
