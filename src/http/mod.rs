//! HTTP: composes the routes, the stack around them, and the connections that carry them.
//!
//! Routes and the `OpenAPI` document come from the same handlers.

mod connection;
mod docs;
mod edge;
mod openapi;
mod page;
mod routes;
mod wire;

use crate::http::edge::RouteTraits;
use crate::http::routes::{
    bookings, calendar, changing, disruption, events, fare_rules, flights, health, itineraries,
    passengers, paying, problems, refunds, sales, sandbox, search, stripe_events, tickets,
    timeline, waitlist, webhooks,
};
use crate::http::wire::problem::{Code, Problem};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, Method, StatusCode};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use crate::http::connection::{ConnectionLimits, ConnectionsByClient, serve};
pub use crate::http::edge::Edge;
pub use crate::http::routes::{Api, HttpLimits, Pages, SandboxPage, Shown, StripeWebhooks};
pub use crate::http::wire::problem::Code as ProblemCode;
pub use openapi::openapi;

/// A group of routes, and what the stack around them must know.
type Group = (RouteTraits, OpenApiRouter<Arc<Api>>);

/// The routes of the service, inside the stack.
pub fn router(api: Api, edge: &Edge) -> Router {
    let mut pages = page::page(&api);
    if api.sandbox.is_some() {
        pages = pages
            .route(sandbox::ROUTE, get(sandbox::show).post(sandbox::act))
            .route(sandbox::STYLE_ROUTE, get(sandbox::style));
    }
    let groups = groups(api.shown).map(|(route, routes)| (route, routes.split_for_parts()));
    let (routes, documents): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .map(|(route, (routes, document))| ((route, routes), (route, document)))
        .unzip();
    if api.shown.docs {
        let document = openapi::serialized(documents);
        pages = pages.merge(docs::routes()).route(
            "/openapi.json",
            get(async move |headers: HeaderMap| openapi::serve(&document, &headers)),
        );
    }
    let pages = [(RouteTraits::PAGE, pages), (RouteTraits::ASSET, page::assets())];
    inside(edge, routes.into_iter().chain(pages), api)
}

/// The routes for operators and monitoring: health and metrics. Served at a port of their own (`METRICS_PORT`), and by
/// a process without the role `api`.
pub fn router_for_operators(api: Api, edge: &Edge) -> Router {
    let (route, routes) = probes(api.shown);
    inside(edge, [(route, routes.into())].into_iter(), api)
}

/// Puts each group of routes into the stack, and the answer for paths that do not exist.
fn inside(
    edge: &Edge,
    groups: impl Iterator<Item = (RouteTraits, Router<Arc<Api>>)>,
    api: Api,
) -> Router {
    let unmatched = Router::new()
        .fallback(|| async { Problem::new(Code::NotFound, "there is nothing at this path") });
    let groups = groups.map(|(route, routes)| {
        edge.around(routes.method_not_allowed_fallback(method_not_allowed), route)
    });
    let routes = groups.fold(edge.around(unmatched, RouteTraits::PAGE), Router::merge);
    routes.with_state(Arc::new(api))
}

/// The answer to a method that the path does not take. The router adds `Allow`, which is the whole answer to
/// `OPTIONS` (RFC 9110, 9.3.7).
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Code::MethodNotAllowed, "this path does not take this method").into_response()
}

/// Every route that the `OpenAPI` document describes. Each path is written out in full: a nested router
/// would rewrite the URI of each request.
fn groups(shown: Shown) -> [Group; 8] {
    let group = OpenApiRouter::new;
    [
        (
            RouteTraits::API,
            group()
                .routes(routes!(search::search))
                .routes(routes!(calendar::calendar))
                .routes(routes!(itineraries::search::search, itineraries::search::search_legs))
                .routes(routes!(events::streams::of_flight)),
        ),
        (
            RouteTraits::AUDITED,
            group()
                .routes(routes!(flights::create, flights::list::list))
                .routes(routes!(flights::get, flights::put))
                .routes(routes!(disruption::get))
                .routes(routes!(sales::get))
                .routes(routes!(fare_rules::get, fare_rules::put)),
        ),
        (
            RouteTraits::PERSONAL_AND_WAITING,
            group()
                .routes(routes!(bookings::place))
                .routes(routes!(itineraries::place))
                .routes(routes!(paying::pay_booking))
                .routes(routes!(paying::pay_itinerary))
                .routes(routes!(changing::change))
                .routes(routes!(waitlist::accept)),
        ),
        (
            RouteTraits::PERSONAL,
            group()
                .routes(routes!(bookings::get))
                .routes(routes!(bookings::cancel))
                .routes(routes!(bookings::quote))
                .routes(routes!(passengers::patch))
                .routes(routes!(timeline::get))
                .routes(routes!(paying::extend))
                .routes(routes!(refunds::retry))
                .routes(routes!(bookings::of_user))
                .routes(routes!(bookings::of_flight::of_flight))
                .routes(routes!(events::list))
                .routes(routes!(events::streams::of_booking))
                .routes(routes!(tickets::issue))
                .routes(routes!(itineraries::get))
                .routes(routes!(itineraries::cancel))
                .routes(routes!(itineraries::quote))
                .routes(routes!(waitlist::join))
                .routes(routes!(waitlist::get, waitlist::leave))
                .routes(routes!(waitlist::decline))
                .routes(routes!(webhooks::create, webhooks::list))
                .routes(routes!(webhooks::get, webhooks::delete))
                .routes(routes!(webhooks::rotate))
                .routes(routes!(webhooks::deliveries::list))
                .routes(routes!(webhooks::deliveries::ping))
                .routes(routes!(webhooks::deliveries::redeliver)),
        ),
        (RouteTraits::PERSONAL_AND_GUESSED, group().routes(routes!(bookings::find::find))),
        (RouteTraits::PAGE, group().routes(routes!(problems::explain))),
        (
            RouteTraits::PROVIDER,
            if shown.webhooks { group().routes(routes!(stripe_events::take)) } else { group() },
        ),
        probes(shown),
    ]
}

fn probes(shown: Shown) -> Group {
    let routes = OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz));
    let routes = if shown.metrics { routes.routes(routes!(health::metrics)) } else { routes };
    (RouteTraits::PROBE, routes)
}
