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

use axum::Router;
use axum::routing::get;
use edge::middleware;
use http::HeaderMap;
use routes::{bookings, flights, health, home, problems, search};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::problem::{Code, Problem};

pub use connection::{ConnectionLimits, ConnectionsByClient, serve};
pub use edge::gate::Edge;
pub use openapi::openapi;
pub use routes::{Api, HttpLimits, Shown};
pub use wire::problem::Code as ProblemCode;

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
