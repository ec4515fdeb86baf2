//! Payments of bookings and itineraries that were held to be paid later, and the extension of their holds.

mod body;

use super::placing::{REPLAYED, mark};
use super::{Api, bookings, itineraries};
use crate::booking::ChangedOrder;
use crate::domain::{BookingId, OrderRecord};
use crate::http::routes::bookings::BookingBody;
use crate::http::routes::itineraries::ItineraryBody;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::has_scope;
use crate::http::wire::json::{Id, OptionalJson};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::identity::{Caller, Scope};
use crate::rules::Extend;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
pub(super) use body::{Empty, PayBody, asked};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// The paths of the requests; part of their idempotency keys in the store.
const BOOKING_PATH: &str = "/api/v1/bookings/{id}/payment";
const ITINERARY_PATH: &str = "/api/v1/itineraries/{id}/payment";
const EXTEND_PATH: &str = "/api/v1/bookings/{id}/extend";

/// Pays a booking that was held with `"payment": "later"`, and the itinerary that it belongs to.
///
/// Answers 202 at once, or with `Prefer: wait=N` 200 when the payment has an outcome or the payer must act (see
/// `next_action`). A decline leaves the hold: the next payment may follow, up to five. Of two payments at the same
/// moment one is refused.
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/payment", operation_id = "payBooking", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "pay-order-7"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the outcome, up to 60"),
    ),
    request_body = Option<PayBody>,
    responses(
        (status = 200, body = BookingBody, description = "The payment has an outcome, or the payer must act", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 202, body = BookingBody, description = "The payment is in progress", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such booking, or another user's"),
        (status = 409, description = "payment_not_due, payment_in_progress, hold_expired, too_many_attempts"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn pay_booking(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    asking: (NoQuery, Wait),
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(body, mut invalid): OptionalJson<PayBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let id = BookingId(id);
    let mut deed = watch.begin(&caller, "booking.pay", Logged::UnlessOwn);
    let found = bookings::find_owned(&api, &caller, id, &mut deed).await;
    let (_, at) = deed.check(found)?;
    let mut pay = body.check(id, &api.pages, &headers, &mut invalid);
    pay.request =
        request_key::of_caller(BOOKING_PATH, &caller, &headers, &asked(&pay), &mut invalid);
    deed.check(invalid.or(()))?;
    let begun = api.bookings.pay(pay).await;
    let ChangedOrder { replayed, .. } = deed.end(begun)?;
    drop((deed, permit));
    let paid = Paid { id, wait: asking.1.0, replayed };
    paid.answer(&api, |record| BookingBody::of(record, at, &api.pages)).await
}

/// Pays an itinerary that was held with `"payment": "later"`.
///
/// As the payment of one of its bookings.
#[utoipa::path(
    post, path = "/api/v1/itineraries/{id}/payment", operation_id = "payItinerary", tag = "itineraries", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Id of its first booking", example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "pay-journey-7"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the outcome, up to 60"),
    ),
    request_body = Option<PayBody>,
    responses(
        (status = 200, body = ItineraryBody, description = "The payment has an outcome, or the payer must act", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 202, body = ItineraryBody, description = "The payment is in progress", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such itinerary, or another user's"),
        (status = 409, description = "payment_not_due, payment_in_progress, hold_expired, too_many_attempts"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn pay_itinerary(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    asking: (NoQuery, Wait),
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(body, mut invalid): OptionalJson<PayBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let id = BookingId(id);
    let mut deed = watch.begin(&caller, "itinerary.pay", Logged::UnlessOwn);
    let found = itineraries::find_owned(&api, &caller, id, &mut deed).await;
    deed.check(found)?;
    let mut pay = body.check(id, &api.pages, &headers, &mut invalid);
    pay.request =
        request_key::of_caller(ITINERARY_PATH, &caller, &headers, &asked(&pay), &mut invalid);
    deed.check(invalid.or(()))?;
    let begun = api.bookings.pay(pay).await;
    let ChangedOrder { replayed, .. } = deed.end(begun)?;
    drop((deed, permit));
    let paid = Paid { id, wait: asking.1.0, replayed };
    paid.answer(&api, |record| ItineraryBody::with_refunds(record, &api.pages)).await
}

/// A payment that was begun.
pub(super) struct Paid {
    pub(super) id: BookingId,
    /// How long to wait for the outcome; zero: not at all.
    pub(super) wait: Duration,
    pub(super) replayed: bool,
}

impl Paid {
    /// The order once its payment has an outcome or needs its payer, or the wait is over.
    pub(super) async fn answer<B: Serialize>(
        self,
        api: &Api,
        body: impl FnOnce(OrderRecord) -> B,
    ) -> Result<Response, Problem> {
        let (record, waited) = api.bookings.until_paid(self.id, self.wait).await?;
        let status = if record.is_paying() { StatusCode::ACCEPTED } else { StatusCode::OK };
        let mut response = (status, axum::Json(body(record))).into_response();
        mark(&mut response, self.replayed, waited.then_some(self.wait));
        Ok(response)
    }
}

/// Lengthens the hold of a booking that is paid later, and of its itinerary, to `PAYMENT_WINDOW` from now. Once.
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/extend", operation_id = "extendBooking", tag = "bookings", security((), ("bearer" = ["bookings:admin"])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "extend-order-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 200, body = BookingBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: the token lacks bookings:admin, or a page of another origin"),
        (status = 404, description = "not_found: no such booking"),
        (status = 409, description = "not_extendable"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn extend(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let id = BookingId(id);
    let mut deed = watch.begin(&caller, "booking.extend", Logged::Always);
    deed.check(has_scope(&caller, Scope::BookingsAdmin))?;
    let found = bookings::find_owned(&api, &caller, id, &mut deed).await;
    let (_, at) = deed.check(found)?;
    let request = request_key::of_caller(EXTEND_PATH, &caller, &headers, &id.0, &mut invalid);
    deed.check(invalid.or(()))?;
    let extended = api.bookings.extend(Extend { booking_id: id, request }).await;
    let ChangedOrder { replayed, .. } = deed.end(extended)?;
    let record = api.bookings.order(id).await?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(BookingBody::of(record, at, &api.pages))).into_response())
}
