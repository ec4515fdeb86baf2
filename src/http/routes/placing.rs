//! What placing a booking and placing an itinerary share.

use super::Api;
use crate::booking::{PlaceOrder, Placed};
use crate::engine::Error;
use crate::http::wire::audit::Deed;
use crate::http::wire::auth::acts_for;
use crate::http::wire::problem::Problem;
use crate::identity::Caller;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// The header of a response that repeats the outcome of an earlier request with the same key.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// A caller's request to place an order.
pub(super) struct Placing<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) deed: Deed,
    pub(super) permit: SemaphorePermit<'a>,
    /// How long to wait for the payment; zero: not at all.
    pub(super) wait: Duration,
}

impl Placing<'_> {
    /// Places the order if the caller may, and waits for its payment. `explained` makes a problem of a
    /// refusal.
    pub(super) async fn place(
        self,
        request: PlaceOrder,
        explained: impl FnOnce(Error) -> Problem,
    ) -> Result<Placed, Problem> {
        let Self { api, caller, mut deed, permit, wait } = self;
        (deed.user, deed.flight) = (Some(request.user_id), request.flights.first().copied());
        deed.check(acts_for(caller, request.user_id))?;
        let request = PlaceOrder { pending_max: api.pending_max(caller), ..request };
        let placed = api.bookings.place(request, !wait.is_zero()).await;
        deed.booking = placed.as_ref().ok().map(|placed| placed.order.id());
        let placed = deed.end(placed.map_err(explained))?;
        drop(deed);
        if wait.is_zero() {
            return Ok(placed);
        }
        // MAX_WAITING bounds the callers that wait; no work is done for them meanwhile.
        drop(permit);
        Ok(api.bookings.until_ended(placed, wait).await?)
    }
}

/// 201: what was placed, and where it can be read.
pub(super) fn created(
    location: String,
    placed: &Placed,
    wait: Duration,
    body: impl Serialize,
) -> Response {
    let location = (header::LOCATION, location);
    let mut response = (StatusCode::CREATED, [location], axum::Json(body)).into_response();
    mark(&mut response, placed.replayed, placed.waited.then_some(wait));
    response
}

/// Marks the response to a repeated request, and that to one whose wait was honoured.
pub(super) fn mark(response: &mut Response, replayed: bool, waited: Option<Duration>) {
    let head = response.headers_mut();
    if replayed {
        head.insert(REPLAYED.0, REPLAYED.1);
    }
    if let Some(wait) = waited {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs()));
        head.insert("preference-applied", applied.expect("digits are a header's text"));
    }
}
