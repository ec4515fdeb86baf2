//! Watches each request under its id: counts, span, log line, and the body of a problem, which names the id.

use super::access_log::AccessLog;
use super::step::Step;
use super::{Kind, RouteTraits, Shared, client_ip, span};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::Problem;
use crate::http::wire::request_id::{RequestId, X_REQUEST_ID};
use crate::telemetry::{Route, Span};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Method;
use http::header::CONTENT_LENGTH;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Level, enabled};

/// An answer that takes longer, beyond what the caller asked to wait, is logged as slow.
const SLOW: Duration = Duration::from_secs(1);

/// Watches the requests of a group of routes.
#[derive(Clone)]
pub(super) struct Observe {
    pub(super) shared: Arc<Shared>,
    pub(super) route: RouteTraits,
}

/// A request in flight, until it is dropped.
pub(super) struct Observed {
    shared: Arc<Shared>,
    id: RequestId,
    kind: Kind,
    started: Instant,
    method: &'static str,
    path: Option<MatchedPath>,
    route: Arc<Route>,
    /// The client's address, if a log line may show it.
    client: Option<IpAddr>,
    /// How long the caller asked to wait.
    wait: Duration,
    span: Option<Arc<Span>>,
}

impl Step for Observe {
    type Kept = Observed;

    fn enter(&self, request: &mut Request) -> ControlFlow<Response, Observed> {
        let shared = self.shared.clone();
        shared.metrics.http_in_flight.inc();
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        if self.route.is_audited {
            request.extensions_mut().insert(id.clone());
        }
        let path = request.extensions().get::<MatchedPath>().cloned();
        let name = path.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let method = method_label(request.method());
        let route = shared.metrics.route(method, name);
        let is_logged = enabled!(target: "access", Level::INFO);
        let client = is_logged.then(|| client_ip::address(request, &shared.trusted_proxies));
        let Wait(wait) = if self.route.may_wait { Wait::note(request) } else { Wait::default() };
        let mut span = None;
        if self.route.kind == Kind::Api && shared.tracing.is_on() {
            let begun = Arc::new(span::begin(&shared, request, &id, (method, name)));
            // The innermost layer makes it the current one of the handler.
            request.extensions_mut().insert(begun.clone());
            span = Some(begun);
        }
        let kind = self.route.kind;
        ControlFlow::Continue(Observed {
            shared,
            id,
            kind,
            started,
            method,
            path,
            route,
            client,
            wait,
            span,
        })
    }

    fn leave(observed: Observed, response: &mut Response) {
        let problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = &problem {
            let body = problem.body(observed.id.as_str());
            response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
            *response.body_mut() = Body::from(body);
        }
        let (status, took) = (response.status(), observed.started.elapsed());
        observed.route.observe(status, took);
        let span = observed.span.as_deref().unwrap_or(&Span::NONE);
        span::answered(span, status);
        let line = AccessLog {
            id: observed.id.as_str(),
            kind: observed.kind,
            method: observed.method,
            route: observed.path.as_ref().map_or(UNMATCHED, MatchedPath::as_str),
            status,
            took,
            is_slow: took > SLOW + observed.wait,
            client: observed.client,
        };
        line.write(problem.as_ref(), span, &observed.shared.refusals);
        response.headers_mut().insert(X_REQUEST_ID, observed.id.clone().into_header());
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.shared.metrics.http_in_flight.dec();
    }
}

/// The route label of a request that matches no route.
const UNMATCHED: &str = "unmatched";

/// The method label in metrics. A method that no route takes is `other`: a caller may send any word, and each
/// would be a new time series until the process ends.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
