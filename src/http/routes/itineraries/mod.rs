//! Itineraries: search, place, read, cancel.

mod body;
pub(crate) mod search;

use super::Api;
use super::part::{Part, cancelled_by, explained};
use super::placing::{Placing, REPLAYED, created};
use super::quote::{QuoteBody, quoted};
use crate::booking::CancelledOrder;
use crate::domain::{BookingId, FlightId, FlightIds, Money, OrderRecord};
use crate::engine::Error;
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::json::{Id, Json, OptionalJson};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::{NoQuery, Query};
use crate::http::wire::request_key;
use crate::identity::Caller;
use crate::rules::{Cancel, Refusal};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
pub(in crate::http::routes) use body::ItineraryBody;
use body::{CancelItineraryBody, PlaceItineraryBody};
use http::{HeaderMap, Uri};
use std::sync::Arc;

/// The path of itineraries; part of the idempotency keys in the store.
const PATH: &str = "/api/v1/itineraries";

/// The path of a cancellation; part of its idempotency keys in the store.
const CANCEL_PATH: &str = "/api/v1/itineraries/{id}/cancel";

/// Holds seats on all flights of an itinerary, or on none; one payment for all follows.
///
/// Answers `pending` at once, or with `Prefer: wait=N` when the payment has ended. Each flight becomes a booking
/// of the same party; each departs at least `MIN_CONNECTION` after the arrival of the one before it, and all have
/// one currency. Cities need not join. With an `Idempotency-Key`, a repeat within 24 hours gets the itinerary of
/// the first request.
#[utoipa::path(
    post, path = "/api/v1/itineraries", operation_id = "placeItinerary", tag = "itineraries", security((), ("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the user's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "journey-7"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the payment, up to 60"),
    ),
    request_body = PlaceItineraryBody,
    responses(
        (status = 201, body = ItineraryBody, headers(
            ("Location" = String), ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: the token is another user's and has no bookings:admin, or a page of another origin"),
        (status = 404, description = "not_found: no such flight; errors has its place in segments"),
        (status = 409, description = "insufficient_seats, flight_not_bookable, too_many_pending; errors has the flight's place in segments"),
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
    Json(body, mistyped): Json<PlaceItineraryBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let request = body.check(mistyped, api.limits.party_size_max, &headers)?;
    let deed = watch.begin(&caller, "itinerary.place", Logged::UnlessOwn);
    let flights = request.flights.clone();
    let placing = Placing { api: &api, caller: &caller, deed, permit, wait };
    let placed = placing.place(request, |error| refused(error, &flights)).await?;
    let location = format!("{PATH}/{}", placed.order.id());
    Ok(created(location, &placed, wait, ItineraryBody::of(&placed.order, &api.pages)))
}

/// A refusal that names a flight also has the flight's place in the request.
fn refused(error: Error, flights: &FlightIds) -> Problem {
    let flight = if let Error::Refused(refusal) = &error { flight_of(refusal) } else { None };
    let at = flight.and_then(|flight| flights.iter().position(|asked| *asked == flight));
    let problem = Problem::from(error);
    match at {
        Some(at) => problem.at(format!("/segments/{at}/flight_id")),
        None => problem,
    }
}

fn flight_of(refusal: &Refusal) -> Option<FlightId> {
    match refusal {
        Refusal::FlightNotFound(flight)
        | Refusal::FlightNotBookable(flight)
        | Refusal::SeatsAwaited(flight)
        | Refusal::InsufficientSeats { flight, .. }
        | Refusal::TooManyPending { flight, .. } => Some(*flight),
        _ => None,
    }
}

/// Reads an itinerary: its bookings, payment and refunds.
///
/// Each booking without other segments is an itinerary too, with the booking's id.
#[utoipa::path(
    get, path = "/api/v1/itineraries/{id}", operation_id = "getItinerary", tag = "itineraries", security((), ("bearer" = [])),
    params(("id" = i64, Path, description = "Id of its first booking", example = 1)),
    responses(
        (status = 200, body = ItineraryBody),
        (status = 404, description = "not_found: no such itinerary, or another user's"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<ItineraryBody>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "itinerary.read", Logged::UnlessOwn);
    let record = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    Ok(axum::Json(ItineraryBody::with_refunds(deed.end(record)?, &api.pages)))
}

/// An itinerary that the caller may see. Another user's is not found: the answer must not tell which ids exist.
pub(in crate::http::routes) async fn find_owned(
    api: &Api,
    caller: &Caller,
    id: BookingId,
    deed: &mut Deed,
) -> Result<OrderRecord, Problem> {
    let missing = |detail: String| Problem::new(Code::NotFound, detail);
    let none = || format!("there is no itinerary {id}");
    let record = api.bookings.order(id).await.map_err(|error| match error {
        Error::Refused(Refusal::BookingNotFound(_)) => missing(none()),
        other => other.into(),
    })?;
    let order = &record.order;
    (deed.booking, deed.user) = (Some(id), Some(order.user()));
    if !caller.may_act_for(order.user()) {
        return Err(missing(none()).refusing("the itinerary is another user's"));
    }
    if order.id() == id {
        return Ok(record);
    }
    let segment = order.booking(id).map_or(0, |booking| booking.segment);
    let detail = format!("{id} is segment {segment} of itinerary {}", order.id());
    Err(missing(format!("{}: booking {detail}", none())))
}

/// What the cancellation of an itinerary, or of a part of it, would give back now.
#[utoipa::path(
    get, path = "/api/v1/itineraries/{id}/cancellation", operation_id = "quoteItineraryCancellation", tag = "itineraries", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Id of its first booking", example = 1),
        ("segments" = Option<String>, Query, nullable = false, pattern = "^([0-9]{1,5}(,[0-9]{1,5}){0,99})?$", description = "Segments, from 1, such as 1,2; all by default", example = "1"),
        ("passengers" = Option<String>, Query, nullable = false, pattern = "^([0-9]{1,5}(,[0-9]{1,5}){0,99})?$", description = "Places of passengers, from 0, such as 0,2; all by default", example = "0"),
    ),
    responses(
        (status = 200, body = QuoteBody),
        (status = 404, description = "not_found: no such itinerary, or another user's"),
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
    let mut deed = watch.begin(&caller, "itinerary.quote", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let OrderRecord { order, .. } = deed.check(found)?;
    let part = deed.check(Part::read(&query, &["segments", "passengers"], order.first()))?;
    let cancel = quoted(order.id(), part.of_order(), cancelled_by(&caller));
    let quote = api.bookings.quote(&cancel).await;
    let quote = quote.map_err(|error| explained(error, &order));
    Ok(axum::Json(deed.end(quote)?.into()))
}

/// Cancels an itinerary, some of its segments, or some of its passengers: their seats are free at once, the
/// refund of their price follows. A repeat changes nothing.
///
/// An itinerary that is not paid yet is cancelled as a whole. The fare rules that each segment was sold with decide its
/// fee; taxes always come back. After the departure of a segment a traveller gets its taxes alone, and its seats stay
/// taken. If the airline cancelled one segment, the others are cancelled free of charge. An empty body cancels
/// everything.
#[utoipa::path(
    post, path = "/api/v1/itineraries/{id}/cancel", operation_id = "cancelItinerary", tag = "itineraries", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Id of its first booking", example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "give-up-journey-7"),
    ),
    request_body = Option<CancelItineraryBody>,
    responses(
        (status = 200, body = ItineraryBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such itinerary, or another user's"),
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
    OptionalJson(body, mut invalid): OptionalJson<CancelItineraryBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "itinerary.cancel", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, BookingId(id), &mut deed).await;
    let OrderRecord { order, .. } = deed.check(found)?;
    let first = order.first();
    let part = Part::checked(body.segments, body.passengers, first, &mut invalid);
    Money::check(body.expected_refund, &mut invalid, "/expected_refund");
    let key = request_key::of_caller(CANCEL_PATH, &caller, &headers, &(id, &part), &mut invalid);
    deed.check(invalid.or(()))?;
    let cancel = Cancel {
        booking_id: first.id,
        part: part.of_order(),
        by: cancelled_by(&caller),
        expected_refund: body.expected_refund,
        request: key,
    };
    let cancelled = api.bookings.cancel(first, cancel).await;
    let cancelled = cancelled.map_err(|error| explained(error, &order));
    let CancelledOrder { replayed, .. } = deed.end(cancelled)?;
    let record = api.bookings.order(first.id).await?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(ItineraryBody::with_refunds(record, &api.pages))).into_response())
}
