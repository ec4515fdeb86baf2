//! Changes of flight.

mod body;

use super::placing::mark;
use super::{Api, bookings};
use crate::booking::ChangedOrder;
use crate::domain::BookingId;
use crate::http::routes::bookings::BookingBody;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::json::{Id, Json};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::identity::Caller;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use body::ChangeFlightBody;
pub(super) use body::PendingChangeBody;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// The path of a change; part of its idempotency keys in the store.
const PATH: &str = "/api/v1/bookings/{id}/change";

/// Moves a completed booking to another flight of its route, at the price of now and without a fee.
///
/// If nothing is due, it is done at once (200), and what the new flight costs less comes back. Else the new seats are held
/// for a payment of the difference (202, `change`): its capture swaps the flights, and a decline or the end of the hold
/// leaves the booking as it was. With `Prefer: wait=N` the answer comes when that payment has an outcome or its payer is
/// needed.
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/change", operation_id = "changeBooking", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "move-order-7"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the outcome, up to 60"),
    ),
    request_body = ChangeFlightBody,
    responses(
        (status = 200, body = BookingBody, description = "The booking; no change of it waits for a payment", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 202, body = BookingBody, description = "The new seats are held for the payment of the difference", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such booking or flight, or another user's booking"),
        (status = 409, description = "difference_changed, change_pending, booking_not_changeable, insufficient_seats, flight_not_bookable, too_many_pending"),
        (status = 422, description = "validation_failed: among others, another route, or a connection that is lost; idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    asking: (NoQuery, Wait),
    headers: HeaderMap,
    Id(id): Id,
    Json(body, mut invalid): Json<ChangeFlightBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.change", Logged::UnlessOwn);
    let found = bookings::find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let (record, at) = deed.check(found)?;
    let booking = &record.order.bookings[at];
    let mut move_to = body.check(booking, &mut invalid);
    let asked = (id, move_to.flight_id.0, move_to.method.as_str());
    move_to.request = request_key::of_caller(PATH, &caller, &headers, &asked, &mut invalid);
    move_to.pending_max = api.pending_max(&caller);
    deed.flight = Some(move_to.flight_id);
    deed.check(invalid.or(()))?;
    let changed = api.bookings.change_flight(move_to).await;
    let ChangedOrder { replayed, .. } = deed.end(changed)?;
    drop((deed, permit));
    let wait = asking.1.0;
    let (record, waited) = api.bookings.until_changed(BookingId(id), wait).await?;
    let status = if record.change.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let body = BookingBody::of(record, at, &api.pages);
    let mut response = (status, axum::Json(body)).into_response();
    mark(&mut response, replayed, waited.then_some(wait));
    Ok(response)
}
