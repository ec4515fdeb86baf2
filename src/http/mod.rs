//! HTTP: requests into one call each, answers into responses. Decides nothing about seats.
//!
//! One file a resource. Routes and the `OpenAPI` document come from the same handlers; refusals of
//! any kind are [`Problem`]s; [`middleware`] is the one layer around them all.

mod connection;
mod docs;
mod edge;
mod openapi;
mod routes;
mod wire;

use crate::booking::{Bookings, Flights};
use crate::domain::SeatCount;
use crate::health::Health;
use crate::identity::Tokens;
use crate::search::Search;
use crate::telemetry::{Metrics, Tracing};
use axum::Router;
use axum::routing::get;
use edge::middleware;
use http::HeaderMap;
use routes::{bookings, flights, health, home, search};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::problem::{Code, Problem};
use wire::problems;

pub use connection::{ConnectionLimits, ConnectionsByClient, serve};
pub use edge::gate::Edge;
pub use openapi::openapi;
pub use wire::problem::Code as ProblemCode;

/// What the handlers work with.
pub struct Api {
    /// Booking use cases.
    pub bookings: Bookings,
    /// Flight use cases.
    pub flights: Flights,
    /// Searches.
    pub search: Search,
    /// Which dependencies answer.
    pub health: Health,
    /// Counters.
    pub metrics: Metrics,
    /// Spans.
    pub tracing: Tracing,
    /// True from the moment a stop was asked for.
    pub draining: Arc<AtomicBool>,
    /// Bounds.
    pub limits: HttpLimits,
    /// Checks who calls; `None`: anyone may do all.
    pub tokens: Option<Arc<Tokens>>,
    /// Who may come in.
    pub edge: Edge,
    /// What there is beside the API.
    pub shown: Shown,
}

/// What a port answers beside the API.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// `/docs` and `/openapi.json` (`DOCS`).
    pub docs: bool,
    /// `/metrics`, unless it has a port of its own (`METRICS_PORT`).
    pub metrics: bool,
}

/// Bounds of the HTTP layer.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Seats in one booking (`MAX_PARTY_SIZE`).
    pub party_size_max: SeatCount,
    /// Seats on one flight that a user may hold unpaid (`MAX_PENDING_PER_USER`); `None`: any number.
    pub pending_max: Option<SeatCount>,
    /// For reading a body (`SERVER_READ_TIMEOUT`).
    pub read_timeout: Duration,
    /// For answering, unless the caller asked to wait (`SERVER_WRITE_TIMEOUT`).
    pub request_timeout: Duration,
}

/// The service's routes, wrapped in its one layer.
pub fn router(api: Api) -> Router {
    let (routes, document) = described_routes(api.shown).split_for_parts();
    let mut routes = routes.route("/", get(home::home));
    if api.shown.docs {
        let document = openapi::serialized(document);
        routes = routes.merge(docs::routes()).route(
            "/openapi.json",
            get(async move |headers: HeaderMap| openapi::serve(&document, &headers)),
        );
    }
    wrapped(routes, api)
}

/// What operators and their machines ask, at a port of their own or of a process without the role `api`:
/// how it is, and what it has counted.
pub fn router_for_operators(api: Api) -> Router {
    let health = OpenApiRouter::new().routes(routes!(health::health));
    wrapped(health.merge(operators_routes(api.shown)).into(), api)
}

fn wrapped(routes: Router<Arc<Api>>, api: Api) -> Router {
    let api = Arc::new(api);
    routes
        .fallback(|| async { Problem::new(Code::NotFound, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "this path does not take this method")
        })
        .layer(axum::middleware::from_fn_with_state(api.clone(), middleware::around))
        .with_state(api)
}

/// Every route with its description, which is the `OpenAPI` document. Each is written out: a nested
/// router would make a new URI of each request's.
fn described_routes(shown: Shown) -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(search::search))
        .routes(routes!(flights::create))
        .routes(routes!(flights::get, flights::put))
        .routes(routes!(bookings::place))
        .routes(routes!(bookings::get))
        .routes(routes!(bookings::cancel))
        .routes(routes!(bookings::of_user))
        .routes(routes!(health::health))
        .routes(routes!(problems::explain))
        .merge(operators_routes(shown))
}

fn operators_routes(shown: Shown) -> OpenApiRouter<Arc<Api>> {
    let routes =
        OpenApiRouter::new().routes(routes!(health::livez)).routes(routes!(health::readyz));
    if shown.metrics { routes.routes(routes!(health::metrics)) } else { routes }
}
