//! `/api/v1/flights/{id}/events` and `/api/v1/bookings/{id}/events`: server-sent events, as browsers' `EventSource`
//! reads them.

use super::super::tickets::{Resource, caller_of};
use super::super::{Api, bookings};
use crate::bus::Cursor;
use crate::domain::{BookingId, FlightId};
use crate::events::{Follow, NoStream, Watched};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::Anybody;
use crate::http::wire::json::Id;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::{response, to_json};
use crate::identity::{Caller, Scope};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;

/// The header by which a client resumes.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells nginx to pass each event on at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follows a flight.
///
/// The first event is `state`, whose data is the flight as it is read. Then come the flight's events, `flight.*`, as they
/// happen: `event` is the type, `data` the event as in the log, `id` a place from which `Last-Event-ID` resumes. Staff's
/// streams have the events of the flight's bookings too. A comment comes every 15 s; a client that reads too slowly is cut
/// off.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}/events", operation_id = "followFlight", tag = "events", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("ticket" = Option<String>, Query, nullable = false, description = "A ticket for this stream, in place of a token"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that was received; a browser sends it by itself"),
    ),
    responses(
        (status = 200, content((String = "text/event-stream"))),
        (status = 404),
        (status = 410),
        (status = 503, description = "overloaded: MAX_EVENT_STREAMS are open; unavailable"),
    )
)]
pub(crate) async fn of_flight(
    State(api): State<Arc<Api>>,
    by_token: Result<Anybody, Problem>,
    headers: HeaderMap,
    uri: Uri,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (id, by_token) = (FlightId(id), by_token.map(|Anybody(caller)| caller));
    let after = last_event_id(&headers)?;
    let _permit = api.permit()?;
    let caller = caller_of(&api, &uri, by_token, Resource::Flight(id)).await?;
    api.flights.flight(id).await?;
    let with_bookings = caller.has_staff_token(Scope::BookingsAdmin);
    let follow = api.live.follow(Watched::Flight { id, with_bookings }, after.clone()).await?;
    // What happened before this read is in the state, what happens after it in the stream.
    let flight = api.flights.flight(id).await?;
    Ok(stream(follow, after.as_ref(), &flight))
}

/// Follows a booking.
///
/// The first event is `state`, whose data is the booking as it is read. Then come the events about the booking, its refunds
/// too, as they happen, also after its end: `event` is the type, `data` the event as in the log, `id` a place from which
/// `Last-Event-ID` resumes. A comment comes every 15 s; a client that reads too slowly is cut off.
#[utoipa::path(
    get, path = "/api/v1/bookings/{id}/events", operation_id = "followBooking", tag = "events", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("ticket" = Option<String>, Query, nullable = false, description = "A ticket for this stream, in place of a token"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that was received; a browser sends it by itself"),
    ),
    responses(
        (status = 200, content((String = "text/event-stream"))),
        (status = 404, description = "not_found: no such booking, or another user's"),
        (status = 410),
        (status = 503, description = "overloaded: MAX_EVENT_STREAMS are open; unavailable"),
    )
)]
pub(crate) async fn of_booking(
    State(api): State<Arc<Api>>,
    by_token: Result<Caller, Problem>,
    watch: Watch,
    headers: HeaderMap,
    uri: Uri,
    Id(id): Id,
) -> Result<Response, Problem> {
    let id = BookingId(id);
    let after = last_event_id(&headers)?;
    let _permit = api.permit()?;
    let caller = caller_of(&api, &uri, by_token, Resource::Booking(id)).await?;
    let mut deed = watch.begin(&caller, "booking.events", Logged::UnlessOwn);
    let found = bookings::find_owned(&api, &caller, id, &mut deed).await;
    deed.check(found)?;
    let follow = deed.check(api.live.follow(Watched::Booking(id), after.clone()).await)?;
    // What happened before this read is in the state, what happens after it in the stream.
    let booking = bookings::shown(&api, &caller, id, &mut deed).await;
    let booking = deed.end(booking)?;
    Ok(stream(follow, after.as_ref(), &booking))
}

/// Where a client resumes, if it does.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else { return Ok(None) };
    let cursor = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    let refused = || Problem::new(Code::MalformedRequest, "Last-Event-ID is no id of a stream");
    cursor.map(Some).ok_or_else(refused)
}

fn stream(follow: Follow, id: Option<&Cursor>, state: &impl Serialize) -> Response {
    let state = String::from_utf8(to_json(state)).expect("JSON is UTF-8");
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    response(StatusCode::OK, head, Body::from_stream(follow.with_state(id, &state)))
}

impl From<NoStream> for Problem {
    fn from(error: NoStream) -> Self {
        match error {
            NoStream::Full => Self::new(Code::Overloaded, error.to_string()),
            NoStream::Unread(error) => error.into(),
        }
    }
}
