//! Bookings: place, read, cancel, list.

use super::Api;
use crate::booking::{CancelledBooking, PlaceBooking, Placed};
use crate::domain::{
    Booking, BookingId, BookingStatus, FailureReason, FlightId, Invalid, Money, Passenger,
    PaymentMethod, PaymentReference, Timestamp, UserId,
};
use crate::http::wire::audit::{Deed, Watch};
use crate::http::wire::auth::acts_for;
use crate::http::wire::json::fields::{PassengerBody, required};
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::json::{Id, Json};
use crate::http::wire::problem::{Problem, ProblemBody};
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::http::wire::{gzip, prefer, request_key};
use crate::identity::{Caller, Scope};
use crate::rules::{CancelledBy, Refusal};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The route that bookings are placed at.
pub(crate) const PATH: &str = "/api/v1/bookings";

/// Bookings in one list, where no limit is named, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Says that an earlier request with the same key made what is answered.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// The route that bookings are cancelled at.
const CANCEL_PATH: &str = "/api/v1/bookings/{id}/cancel";

/// A party's wish for seats, as it is sent.
///
/// What only answers show is accepted and ignored.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is ignored is named, so that nothing else is")]
#[schema(example = json!({
    "flight_id": 1, "user_id": 123, "seats_booked": 2,
    "passenger_details": [
        {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"},
        {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28, "gender": "female"}
    ]
}))]
pub(crate) struct PlaceBookingBody {
    /// The flight.
    #[schema(required, nullable = false, minimum = 1)]
    flight_id: Option<i64>,
    /// Who books.
    #[schema(required, nullable = false, minimum = 1)]
    user_id: Option<i64>,
    /// How many seats: 1 to `MAX_PARTY_SIZE`.
    #[schema(required, nullable = false, minimum = 1)]
    seats_booked: Option<i32>,
    /// Who flies, one for each seat.
    #[schema(required, nullable = false)]
    passenger_details: Option<Vec<PassengerBody>>,
    /// The gateway's token; `pm_card_visa` if none is named.
    #[schema(example = "pm_card_visa", max_length = 64)]
    payment_method: Option<String>,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    id: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_id: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    status: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    failure_reason: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    payment_reference_id: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    message: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_price: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_metadata: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    hold_expires_at: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    created_at: IgnoredAny,
    /// As answers show it; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    updated_at: IgnoredAny,
}

impl Shaped for PlaceBookingBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("flight_id", Kind::Integer64),
            ("user_id", Kind::Integer64),
            ("seats_booked", Kind::Integer32),
            ("passenger_details", Kind::List(&PassengerBody::SHAPE)),
            ("payment_method", Kind::Text),
        ],
        ignored: &[
            "id",
            "booking_id",
            "status",
            "failure_reason",
            "payment_reference_id",
            "message",
            "booking_price",
            "booking_metadata",
            "hold_expires_at",
            "created_at",
            "updated_at",
        ],
    };
}

/// What was placed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BookingPlacedBody {
    booking_id: BookingId,
    status: BookingStatus,
    #[schema(value_type = String, example = "PAY-0123456789abcdef0123456789abcdef")]
    payment_reference_id: PaymentReference,
    #[schema(value_type = String, example = "Booking created, processing payment")]
    message: &'static str,
    booking_price: Money,
    #[schema(value_type = String, format = DateTime)]
    hold_expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
}

impl From<Booking> for BookingPlacedBody {
    fn from(booking: Booking) -> Self {
        Self {
            booking_id: booking.id,
            status: booking.status,
            payment_reference_id: booking.payment_reference,
            message: match booking.status {
                BookingStatus::Pending => "Booking created, processing payment",
                BookingStatus::Completed => "Booking completed, payment captured",
                BookingStatus::Failed => "Booking failed, no payment was taken",
                BookingStatus::Cancelled => "Booking cancelled",
            },
            booking_price: booking.booking_price,
            hold_expires_at: booking.hold_expires_at,
            failure_reason: booking.failure_reason,
        }
    }
}

/// A user's bookings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BookingList {
    /// Newest first.
    bookings: Vec<Booking>,
    /// How many are in this answer.
    count: usize,
    /// Where the next answer goes on, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl PlaceBookingBody {
    /// The booking to place, or all that is wrong with it, with what was noted before.
    fn check(
        self,
        mut invalid: Invalid,
        seats_max: i32,
        headers: &HeaderMap,
    ) -> Result<PlaceBooking, Invalid> {
        let flight_id = positive(&mut invalid, "flight_id", self.flight_id);
        let user_id = positive(&mut invalid, "user_id", self.user_id);
        let seats = required(&mut invalid, "seats_booked", self.seats_booked).unwrap_or_default();
        if self.seats_booked.is_some() && !(1..=seats_max).contains(&seats) {
            invalid.add("/seats_booked", format!("must be 1 to {seats_max}"));
        }
        let details = required(&mut invalid, "passenger_details", self.passenger_details);
        let is_another_count =
            details.as_ref().is_some_and(|details| i32::try_from(details.len()) != Ok(seats));
        if self.seats_booked.is_some() && is_another_count {
            invalid.add("/passenger_details", "must name as many passengers as seats_booked");
        }
        // A list beyond any party is refused as a whole.
        let passengers: Vec<Passenger> = details
            .into_iter()
            .flatten()
            .take(seats_max.unsigned_abs() as usize)
            .enumerate()
            .filter_map(|(at, body)| body.check(&mut invalid, &format!("/passenger_details/{at}")))
            .collect();
        let method = self.payment_method.as_deref().unwrap_or(PaymentMethod::DEFAULT);
        let method = PaymentMethod::new(method);
        if method.is_none() {
            invalid.add("/payment_method", "must be 1 to 64 letters, digits and underscores");
        }
        let request = PlaceBooking {
            flight_id: FlightId(flight_id),
            user_id: UserId(user_id),
            seats,
            passengers,
            method: method.unwrap_or_default(),
            idempotency: None,
            pending_max: None,
        };
        let asked = (
            request.flight_id,
            request.user_id,
            request.seats,
            &request.passengers,
            request.method.as_str(),
        );
        let idempotency = request_key::of(headers, &asked, &mut invalid);
        invalid.or(PlaceBooking { idempotency, ..request })
    }
}

fn positive(invalid: &mut Invalid, name: &str, value: Option<i64>) -> i64 {
    let value = required(invalid, name, value);
    if value.is_some_and(|value| value < 1) {
        invalid.add(format!("/{name}"), "must be at least 1");
    }
    value.unwrap_or_default()
}

/// Holds seats; the payment follows by itself.
///
/// Answers `pending` at once, or with `Prefer: wait=N` as soon as the booking has ended. With an
/// `Idempotency-Key` a repeat within 24 hours makes nothing new.
#[utoipa::path(
    post, path = "/api/v1/bookings", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the user's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the payment, 60 at most"),
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
    headers: HeaderMap,
    Json(body, mistyped): Json<PlaceBookingBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let request = body.check(mistyped, api.limits.party_size_max, &headers)?;
    let mut deed = watch.begin(&caller, "booking.place");
    (deed.user, deed.flight) = (Some(request.user_id), Some(request.flight_id));
    deed.check(acts_for(&caller, request.user_id))?;
    let is_staff = caller.is_staff(Scope::BookingsAdmin);
    let pending_max = api.limits.pending_max.filter(|_| !is_staff);
    let request = PlaceBooking { pending_max, ..request };
    let wait = Some(prefer::wait(&headers)).filter(|wait| !wait.is_zero());
    let placed = api.bookings.place(request, wait.is_some()).await;
    deed.booking = placed.as_ref().ok().map(|placed| placed.booking.id);
    let mut placed = deed.end(placed)?;
    drop(deed);
    if let Some(wait) = wait {
        // MAX_WAITING bounds the callers that wait; no work is done for them meanwhile.
        drop(permit);
        placed = api.bookings.until_ended(placed, wait).await?;
    }

    let Placed { booking, replayed, waited, .. } = placed;
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
    get, path = "/api/v1/bookings/{id}", tag = "bookings", security((), ("bearer" = [])),
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
    let mut deed = watch.begin(&caller, "booking.read");
    let booking = own(&api, &caller, BookingId(id), &mut deed).await;
    Ok(axum::Json(deed.end(booking)?))
}

/// A booking that the caller may see; another's is not found, so that numbers can't be tried out.
async fn own(
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

/// Gives a booking up: its seats come back at once, the money follows. A repeat changes nothing.
///
/// A completed booking can be cancelled until its flight departs; after that only by staff
/// (`bookings:admin`).
#[utoipa::path(
    post, path = "/api/v1/bookings/{id}/cancel", tag = "bookings", security((), ("bearer" = [])),
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
    let mut deed = watch.begin(&caller, "booking.cancel");
    if caller != Caller::Anyone {
        let owned = own(&api, &caller, BookingId(id), &mut deed).await;
        deed.check(owned)?;
    }
    let by = if caller.is_staff(Scope::BookingsAdmin) {
        CancelledBy::Staff
    } else {
        CancelledBy::Traveller
    };
    let key = deed.check(request_key::of_caller(CANCEL_PATH, &caller, &headers, &id))?;
    let cancelled = api.bookings.cancel(BookingId(id), by, key).await;
    let CancelledBooking { booking, replayed } = deed.end(cancelled)?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(booking)).into_response())
}

/// Lists a user's bookings, newest first.
#[utoipa::path(
    get, path = "/api/v1/users/{user_id}/bookings", tag = "bookings", security((), ("bearer" = [])),
    params(
        ("user_id" = i64, Path, example = 123),
        ("status" = Option<String>, Query, nullable = false, pattern = "^(pending|completed|failed|cancelled)?$", description = "Of this status alone; all if it is empty"),
        ("limit" = Option<i32>, Query, nullable = false, description = "100 if none is named", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^[0-9]{0,18}$", description = "The next_cursor of an earlier answer"),
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
    let mut deed = watch.begin(&caller, "bookings.list");
    deed.user = Some(UserId(user));
    deed.check(acts_for(&caller, UserId(user)))?;
    let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
    query.only(&["status", "limit", "cursor"], &mut unreadable);
    let limit: Option<usize> = query.read("limit", "must be an integer", &mut unreadable);
    let before: Option<i64> = query.read("cursor", "must be a next_cursor", &mut unreadable);
    deed.check(readable(unreadable))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        invalid.add("/limit", format!("must be 1 to {LIMIT_MAX}"));
    }
    let status = query.get("status").map(BookingStatus::parse);
    if status == Some(None) {
        let known = BookingStatus::ALL.map(BookingStatus::as_str).join(", ");
        invalid.add("/status", format!("must be one of {known}"));
    }
    deed.check(invalid.or(()))?;

    let (user, before) = (UserId(user), before.map(BookingId));
    // One more than asked for tells whether there are more.
    let bookings = api.bookings.of_user(user, status.flatten(), before, limit + 1).await;
    let mut bookings = deed.end(bookings)?;
    let more = bookings.len() > limit;
    bookings.truncate(limit);
    let next_cursor = bookings.last().filter(|_| more).map(|last| last.id.to_string());
    let list = BookingList { count: bookings.len(), bookings, next_cursor };
    Ok(gzip::json(&headers, &list))
}
