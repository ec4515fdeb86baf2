//! Bookings: place, read, cancel, list.

mod body;

use super::Api;
use crate::booking::{CancelledOrder, PlaceOrder, Placed};
use crate::domain::{Booking, BookingId, BookingStatus, Invalid, UserId};
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::auth::acts_for;
use crate::http::wire::json::{Id, Json};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::{Problem, ProblemBody};
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::http::wire::{gzip, request_key};
use crate::identity::{Caller, Scope};
use crate::rules::{CancelledBy, OrderPart, Refusal};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use body::{BookingList, BookingPlacedBody, PlaceBookingBody};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use std::sync::Arc;
use strum::VariantNames as _;

/// The path of bookings.
pub(crate) const PATH: &str = "/api/v1/bookings";

/// Bookings in one list without the parameter `limit`.
const LIMIT_DEFAULT: usize = 100;

/// Maximum of `limit`.
const LIMIT_MAX: usize = 1_000;

/// The header of a response that repeats the outcome of an earlier request with the same key.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

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
        (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "forbidden: the token is another user's and has no bookings:admin, or a page of another origin"),
        (status = 404, body = ProblemBody, description = "not_found: no such flight"),
        (status = 408, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "insufficient_seats, flight_not_bookable, too_many_pending"),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "validation_failed, idempotency_key_reused"),
        (status = 503, body = ProblemBody, description = "overloaded, unavailable"),
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
    let mut deed = watch.begin(&caller, "booking.place", Logged::UnlessOwn);
    (deed.user, deed.flight) = (Some(request.user_id), request.flights.first().copied());
    deed.check(acts_for(&caller, request.user_id))?;
    let is_staff = caller.has_staff_token(Scope::BookingsAdmin);
    let pending_max = api.limits.pending_max.filter(|_| !is_staff);
    let request = PlaceOrder { pending_max, ..request };
    let wait = Some(wait).filter(|wait| !wait.is_zero());
    let placed = api.bookings.place(request, wait.is_some()).await;
    deed.booking = placed.as_ref().ok().map(|placed| placed.order.id());
    let mut placed = deed.end(placed)?;
    drop(deed);
    if let Some(wait) = wait {
        // MAX_WAITING bounds the callers that wait; no work is done for them meanwhile.
        drop(permit);
        placed = api.bookings.until_ended(placed, wait).await?;
    }

    let Placed { order, replayed, waited, .. } = placed;
    let booking = order.first();
    let location = (header::LOCATION, format!("{PATH}/{}", booking.id));
    let body = axum::Json(BookingPlacedBody::from(booking));
    let mut response = (StatusCode::CREATED, [location], body).into_response();
    let head = response.headers_mut();
    if replayed {
        head.insert(REPLAYED.0, REPLAYED.1);
    }
    if let Some(wait) = wait.filter(|_| waited) {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs()));
        head.insert("preference-applied", applied.expect("digits are a header's text"));
    }
    Ok(response)
}

/// Reads a booking.
#[utoipa::path(
    get, path = "/api/v1/bookings/{id}", operation_id = "getBooking", tag = "bookings", security((), ("bearer" = [])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = Booking), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "not_found: no such booking, or another user's"),
        (status = 503, body = ProblemBody),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<Booking>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.read", Logged::UnlessOwn);
    let booking = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    Ok(axum::Json(deed.end(booking)?))
}

/// A booking that the caller may see. Another user's is not found: the answer must not tell which ids exist.
async fn find_owned(
    api: &Api,
    caller: &Caller,
    id: BookingId,
    deed: &mut Deed,
) -> Result<Booking, Problem> {
    let booking = api.bookings.booking(id).await?;
    (deed.booking, deed.user) = (Some(id), Some(booking.user_id));
    if caller.may_act_for(booking.user_id) {
        return Ok(booking);
    }
    let missing = Problem::from(Refusal::BookingNotFound(id));
    Err(missing.refusing("the booking is another user's"))
}

/// Cancels a booking: its seats are free at once, the refund follows. A repeat changes nothing.
///
/// A completed booking can be cancelled until its flight departs; after that only by staff
/// (`bookings:admin`).
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/cancel", operation_id = "cancelBooking", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "give-up-order-7"),
    ),
    responses(
        (status = 200, body = Booking, headers(("Idempotent-Replayed" = String))), (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "forbidden: a page of another origin"),
        (status = 404, body = ProblemBody, description = "not_found: no such booking, or another user's"),
        (status = 409, body = ProblemBody, description = "booking_not_cancellable"),
        (status = 422, body = ProblemBody, description = "validation_failed, idempotency_key_reused"),
        (status = 503, body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "booking.cancel", Logged::UnlessOwn);
    let booking = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let booking = deed.check(booking)?;
    let by = if caller.has_staff_token(Scope::BookingsAdmin) {
        CancelledBy::Staff
    } else {
        CancelledBy::Traveller
    };
    let key = deed.check(request_key::of_caller(CANCEL_PATH, &caller, &headers, &id))?;
    let cancelled = api.bookings.cancel(&booking, OrderPart::default(), by, key).await;
    let CancelledOrder { order, replayed } = deed.end(cancelled)?;
    let cancelled = order.booking(booking.id).cloned().unwrap_or_else(|| booking.clone());
    let booking = Booking { passengers: booking.passengers, ..cancelled };
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(booking)).into_response())
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
        (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "forbidden: the token is another user's and has no bookings:admin"),
        (status = 422, body = ProblemBody, description = "validation_failed"), (status = 503, body = ProblemBody),
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
    let more = bookings.len() > limit;
    bookings.truncate(limit);
    let next_cursor = bookings.last().filter(|_| more).map(|last| last.id.to_string());
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
        let limit: Option<usize> = query.read("limit", "must be an integer", &mut unreadable);
        let before: Option<i64> = query.read("cursor", "must be a next_cursor", &mut unreadable);
        readable(unreadable)?;
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            invalid.add("/limit", format!("must be 1 to {LIMIT_MAX}"));
        }
        let status = query.get("status").map(|word| word.parse().ok());
        if status == Some(None) {
            let known = BookingStatus::VARIANTS.join(", ");
            invalid.add("/status", format!("must be one of {known}"));
        }
        invalid.or(())?;
        Ok(Self { status: status.flatten(), before: before.map(BookingId), limit })
    }
}
