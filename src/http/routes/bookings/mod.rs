//! Bookings: place, read, find, cancel, list.

mod body;
pub(crate) mod find;
mod manifest;
pub(crate) mod of_flight;

use super::Api;
use super::lists::{CURSOR_RULE, asked_limit, asked_status, check_limit, cut};
use super::part::{Part, cancelled_by, explained};
use super::placing::{Placing, REPLAYED, created};
use super::quote::{QuoteBody, quoted};
use crate::booking::CancelledOrder;
use crate::domain::{BookingId, BookingStatus, Invalid, Money, OrderRecord, UserId};
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::auth::acts_for;
use crate::http::wire::json::{Id, Json, OptionalJson};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::http::wire::{gzip, request_key};
use crate::identity::Caller;
use crate::rules::{Cancel, Refusal};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
pub(in crate::http::routes) use body::BookingBody;
use body::{BookingList, BookingPlacedBody, CancelBookingBody, PlaceBookingBody, ShownBooking};
use http::{HeaderMap, Uri};
use std::sync::Arc;

/// The path of bookings.
pub(crate) const PATH: &str = "/api/v1/bookings";

/// The path of a cancellation; part of its idempotency keys in the store.
const CANCEL_PATH: &str = "/api/v1/bookings/{id}/cancel";

/// Holds seats; the payment follows.
///
/// Answers `pending` at once, or with `Prefer: wait=N` when the payment has ended. With an
/// `Idempotency-Key`, a repeat within 24 hours gets the booking of the first request.
#[utoipa::path(
    post, path = "/api/v1/bookings", operation_id = "placeBooking", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the user's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the payment, up to 60"),
    ),
    request_body = PlaceBookingBody,
    responses(
        (status = 201, body = BookingPlacedBody, headers(
            ("Location" = String), ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: the token is another user's and has no bookings:admin, or a page of another origin"),
        (status = 404, description = "not_found: no such flight"),
        (status = 409, description = "insufficient_seats, flight_not_bookable, too_many_pending"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn place(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Wait(wait): Wait,
    headers: HeaderMap,
    Json(body, mistyped): Json<PlaceBookingBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let request = body.check(mistyped, api.limits.party_size_max, &headers)?;
    let deed = watch.begin(&caller, "booking.place", Logged::UnlessOwn);
    let placing = Placing { api: &api, caller: &caller, deed, permit, wait };
    let placed = placing.place(request, Problem::from).await?;
    let booking = placed.order.first();
    let location = format!("{PATH}/{}", booking.id);
    Ok(created(location, &placed, wait, BookingPlacedBody::of(&placed.order, &api.pages)))
}

/// Reads a booking, with its payment and refunds.
#[utoipa::path(
    get, path = "/api/v1/bookings/{id}", operation_id = "getBooking", tag = "bookings", security((), ("bearer" = [])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = BookingBody),
        (status = 404, description = "not_found: no such booking, or another user's"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<BookingBody>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.read", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let (record, at) = deed.end(found)?;
    Ok(axum::Json(BookingBody::of(record, at, &api.pages)))
}

/// A booking that the caller may see, as [`get`] shows it.
pub(in crate::http::routes) async fn shown(
    api: &Api,
    caller: &Caller,
    booking: BookingId,
    deed: &mut Deed,
) -> Result<BookingBody, Problem> {
    let (record, at) = find_owned(api, caller, booking, deed).await?;
    Ok(BookingBody::of(record, at, &api.pages))
}

/// The order of a booking that the caller may see, and the booking's place in it. Another user's is not found:
/// the answer must not tell which ids exist.
pub(in crate::http::routes) async fn find_owned(
    api: &Api,
    caller: &Caller,
    id: BookingId,
    deed: &mut Deed,
) -> Result<(OrderRecord, usize), Problem> {
    let missing = || Problem::from(Refusal::BookingNotFound(id));
    let record = api.bookings.order(id).await?;
    let order = &record.order;
    let at = order.bookings.iter().position(|booking| booking.id == id).ok_or_else(missing)?;
    (deed.booking, deed.user) = (Some(id), Some(order.user()));
    if caller.may_act_for(order.user()) {
        return Ok((record, at));
    }
    Err(missing().refusing("the booking is another user's"))
}

/// Cancels a booking, or some of its passengers: their seats are free at once, the refund follows. A repeat
/// changes nothing.
///
/// The fare rules that a completed booking was sold with decide the fee; taxes always come back. After the departure a
/// traveller gets the taxes alone, and the seats stay taken. An empty body cancels the whole booking. A booking of an itinerary that is not paid yet is
/// cancelled with its itinerary.
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/cancel", operation_id = "cancelBooking", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "give-up-order-7"),
    ),
    request_body = Option<CancelBookingBody>,
    responses(
        (status = 200, body = BookingBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such booking, or another user's"),
        (status = 409, description = "booking_not_cancellable, refund_changed, change_pending"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(body, mut invalid): OptionalJson<CancelBookingBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.cancel", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let (record, at) = deed.check(found)?;
    let booking = &record.order.bookings[at];
    let part = Part::checked(None, body.passengers, booking, &mut invalid);
    Money::check(body.expected_refund, &mut invalid, "/expected_refund");
    let key = match part.passengers() {
        // As the content was before a booking could be cancelled in part.
        None => request_key::of_caller(CANCEL_PATH, &caller, &headers, &id, &mut invalid),
        Some(some) => {
            request_key::of_caller(CANCEL_PATH, &caller, &headers, &(id, some), &mut invalid)
        }
    };
    deed.check(invalid.or(()))?;
    let cancel = Cancel {
        booking_id: booking.id,
        part: part.of_booking(),
        by: cancelled_by(&caller),
        expected_refund: body.expected_refund,
        request: key,
    };
    let cancelled = api.bookings.cancel(booking, cancel).await;
    let cancelled = cancelled.map_err(|error| explained(error, &record.order));
    let CancelledOrder { replayed, .. } = deed.end(cancelled)?;
    let record = api.bookings.order(booking.id).await?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(BookingBody::of(record, at, &api.pages))).into_response())
}

/// What the cancellation of a booking, or of some of its passengers, would give back now.
#[utoipa::path(
    get, path = "/api/v1/bookings/{id}/cancellation", operation_id = "quoteBookingCancellation", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("passengers" = Option<String>, Query, nullable = false, pattern = "^([0-9]{1,5}(,[0-9]{1,5}){0,99})?$", description = "Places of passengers, from 0, such as 0,2; all by default", example = "0"),
    ),
    responses(
        (status = 200, body = QuoteBody),
        (status = 404, description = "not_found: no such booking, or another user's"),
        (status = 409, description = "booking_not_cancellable, change_pending"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn quote(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    Id(id): Id,
    uri: Uri,
) -> Result<axum::Json<QuoteBody>, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.quote", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let (record, at) = deed.check(found)?;
    let booking = &record.order.bookings[at];
    let part = deed.check(Part::read(&query, &["passengers"], booking))?;
    let cancel = quoted(booking.id, part.of_booking(), cancelled_by(&caller));
    let quote = api.bookings.quote(&cancel).await;
    let quote = quote.map_err(|error| explained(error, &record.order));
    Ok(axum::Json(deed.end(quote)?.into()))
}

/// Lists a user's bookings, newest first.
#[utoipa::path(
    get, path = "/api/v1/users/{user_id}/bookings", operation_id = "listBookings", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("user_id" = i64, Path, example = 123),
        ("status" = Option<String>, Query, nullable = false, pattern = "^(pending|completed|failed|cancelled)?$", description = "Only bookings with this status; all if empty"),
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum bookings in the list; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^[0-9]{0,18}$", description = "The next_cursor of the previous list"),
    ),
    responses(
        (status = 200, body = BookingList, headers(("Content-Encoding" = String), ("Vary" = String))),
        (status = 403, description = "forbidden: the token is another user's and has no bookings:admin"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn of_user(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    Id(user): Id,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "bookings.list", Logged::UnlessOwn);
    deed.user = Some(UserId(user));
    deed.check(acts_for(&caller, UserId(user)))?;
    let ListQuery { status, before, limit } = deed.check(ListQuery::read(&query))?;
    // One more than the limit shows whether there are more.
    let bookings = api.bookings.bookings_of_user(UserId(user), status, before, limit + 1).await;
    let mut bookings = deed.end(bookings)?;
    let next_cursor = cut(&mut bookings, limit).map(|last| last.id.to_string());
    let bookings: Vec<_> =
        bookings.into_iter().map(|booking| ShownBooking::of(booking, &api.pages)).collect();
    let list = BookingList { count: bookings.len(), bookings, next_cursor };
    Ok(gzip::json(&headers, &list))
}

/// The parameters of a list.
struct ListQuery {
    status: Option<BookingStatus>,
    /// Only bookings older than this one.
    before: Option<BookingId>,
    limit: usize,
}

impl ListQuery {
    /// 400 for what can't be read, else 422 for what breaks a rule.
    fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
        query.only(&["status", "limit", "cursor"], &mut unreadable);
        let limit = asked_limit(query, &mut unreadable);
        let before: Option<i64> = query.read_text("cursor", CURSOR_RULE, &mut unreadable);
        readable(unreadable)?;
        check_limit(limit, &mut invalid);
        let status = asked_status(query, &mut invalid);
        invalid.or(())?;
        Ok(Self { status, before: before.map(BookingId), limit })
    }
}
