//! `/api/v1/bookings/{id}/timeline`: what happened to a booking.

use super::{Api, bookings};
use crate::domain::{BookingId, TimelineEvent};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::json::Id;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::identity::Caller;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

/// The timeline of a booking.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TimelineBody {
    /// What happened, in ascending order.
    events: Vec<TimelineEvent>,
}

/// What happened to a booking, as its rows tell, in ascending order.
///
/// What a later change has overwritten is left out: for example the request of a payment that waited for its method,
/// or the capture of a payment that was reversed. No entry has passengers' data.
#[utoipa::path(
    get, path = "/api/v1/bookings/{id}/timeline", operation_id = "getTimeline", tag = "bookings", security((), ("bearer" = [])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = TimelineBody),
        (status = 404, description = "not_found: no such booking, or another user's"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<TimelineBody>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.timeline", Logged::UnlessOwn);
    let found = bookings::find_owned(&api, &caller, BookingId(id), &mut deed).await;
    deed.check(found)?;
    let events = deed.end(api.bookings.timeline(BookingId(id)).await)?;
    Ok(axum::Json(TimelineBody { events }))
}
