//! `/api/v1/bookings/{id}/passengers/{n}`: a passenger's contact data are corrected.

use super::placing::REPLAYED;
use super::{Api, bookings};
use crate::booking::ChangedOrder;
use crate::domain::{BookingId, PassengerPatch};
use crate::http::routes::bookings::BookingBody;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::json::fields::PassengerPatchBody;
use crate::http::wire::json::{Ids, Json};
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::identity::Caller;
use crate::rules::Mend;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use std::sync::Arc;

/// The path of the request; part of its idempotency keys in the store.
const PATH: &str = "/api/v1/bookings/{id}/passengers/{n}";

/// Corrects the name, the e-mail address or the telephone number of a passenger, free of charge, until departure.
///
/// Fields that the body lacks keep their values. A booking of an itinerary is corrected alone: the passenger is listed
/// in each booking.
#[utoipa::path(
    patch, path = "/api/v1/bookings/{id}/passengers/{n}", operation_id = "changePassenger", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("n" = i64, Path, description = "Place in `booking_metadata`, from 0", example = 0),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "correct-order-7"),
    ),
    request_body = PassengerPatchBody,
    responses(
        (status = 200, body = BookingBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such booking or passenger, or another user's"),
        (status = 409, description = "passenger_not_changeable"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn patch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Ids(id, n): Ids,
    Json(body, mut invalid): Json<PassengerPatchBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.mend", Logged::UnlessOwn);
    let found = bookings::find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let (record, at) = deed.check(found)?;
    let booking = &record.order.bookings[at];
    let passengers = booking.passengers.as_ref().map_or(0, |all| all.len());
    let place = deed.check(place(n, passengers))?;
    let patch: PassengerPatch = body.check(&mut invalid);
    let request = request_key::of_caller(PATH, &caller, &headers, &(id, n, &patch), &mut invalid);
    deed.check(invalid.or(()))?;
    let mended = api.bookings.mend(Mend { booking_id: booking.id, place, patch, request }).await;
    let ChangedOrder { replayed, .. } = deed.end(mended)?;
    let record = api.bookings.order(booking.id).await?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(BookingBody::of(record, at, &api.pages))).into_response())
}

/// The place of a passenger. The path names a thing that does not exist if there is none: 404, as for a booking.
fn place(n: i64, passengers: usize) -> Result<u16, Problem> {
    let place = u16::try_from(n).ok().filter(|place| usize::from(*place) < passengers);
    place.ok_or_else(|| {
        let detail = format!("the booking has no passenger {n}: it has {passengers}, from 0 on");
        Problem::new(Code::NotFound, detail)
    })
}
