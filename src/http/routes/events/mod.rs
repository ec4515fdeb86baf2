//! `/api/v1/events`: the log of events, page by page, and streams that follow it.

pub(crate) mod streams;

use super::Api;
use super::lists::{asked_limit, check_limit};
use crate::bus::{Cursor, LogError};
use crate::domain::{FlightId, Invalid};
use crate::engine::Error;
use crate::events::{EventsAsked, EventsPage, ShownEvent, Unread};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::has_scope;
use crate::http::wire::gzip;
use crate::http::wire::problem::{Code, Figures, Problem};
use crate::http::wire::query::{Query, readable};
use crate::identity::{Caller, Scope};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde::Serialize;
use std::sync::Arc;

/// The parameters of a page.
const PARAMETERS: [&str; 4] = ["after", "types", "flight", "limit"];

/// Maximum types that a page may name.
const TYPES_MAX: usize = 32;

/// The rule of the parameter `after`.
const AFTER_RULE: &str = "must be the next of a page, or the oldest of a refusal";

/// The rule of the parameter `types`.
const TYPES_RULE: &str =
    "must be up to 32 types such as booking.completed or flight.*, separated by commas";

/// A page of events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EventPage {
    /// In order for each flight; may be empty though more follow.
    events: Vec<ShownEvent>,
    /// The `after` of the next page. Equal to that of this page once all is read.
    #[schema(example = "AbSx4g4CAAkVx3qGWgMBAgIEBggK")]
    next: String,
}

impl From<EventsPage> for EventPage {
    fn from(page: EventsPage) -> Self {
        Self { events: page.events, next: page.next.to_string() }
    }
}

/// Events, in order for each flight.
///
/// The log of what `airline-events` tells, from the oldest event that is kept (`EVENT_RETENTION`): types `flight.*`,
/// `booking.*`, `itinerary.*`, `refund.*`, `waitlist.*` and `dispute.*`. To follow it, repeat the request with `after` =
/// `next`: a page with the same `next` has read all there is. An event may come more than once, with the same `id`. `data` is
/// what it happened to, as it is stored when the page is read, without personal data.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "listEvents", tag = "events", security((), ("bearer" = ["bookings:admin"])),
    params(
        ("after" = Option<String>, Query, nullable = false, pattern = "^[0-9A-Za-z_-]*$", description = "The next of the previous page; the oldest events by default"),
        ("types" = Option<String>, Query, nullable = false, max_length = 2000, description = "Types, separated by commas; flight.* are all that begin with flight.; all by default", example = "booking.completed,flight.*"),
        ("flight" = Option<i64>, Query, nullable = false, description = "Only events of this flight", minimum = 1),
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum events in the page; 100 by default", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, body = EventPage, headers(("Content-Encoding" = String), ("Vary" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)), description = "forbidden: the token lacks bookings:admin"),
        (status = 410), (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "events.list", Logged::Always);
    deed.check(has_scope(&caller, Scope::BookingsAdmin))?;
    let asked = deed.check(read(&query))?;
    deed.flight = asked.flight;
    let page = deed.end(api.events.page(asked).await)?;
    Ok(gzip::json(&headers, &EventPage::from(page)))
}

/// 400 for what can't be read, else 422 for what breaks a rule.
fn read(query: &Query<'_>) -> Result<EventsAsked, Problem> {
    let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
    query.only(&PARAMETERS, &mut unreadable);
    let limit = asked_limit(query, &mut unreadable);
    let after: Option<Cursor> = query.read_text("after", AFTER_RULE, &mut unreadable);
    let flight: Option<i64> = query.read("flight", "must be an integer", &mut unreadable);
    readable(unreadable)?;
    check_limit(limit, &mut invalid);
    if flight.is_some_and(|flight| flight < 1) {
        invalid.add("/flight", "must be at least 1");
    }
    let types = types(query.get("types").unwrap_or_default(), &mut invalid);
    invalid.or(())?;
    Ok(EventsAsked { after, types, flight: flight.map(FlightId), limit })
}

/// The types of a list.
fn types(text: &str, invalid: &mut Invalid) -> Vec<String> {
    let types = text.split(',').map(str::trim).filter(|kind| !kind.is_empty());
    let types: Vec<_> = types.map(str::to_owned).collect();
    if types.len() > TYPES_MAX || !types.iter().all(|kind| is_type(kind)) {
        invalid.add("/types", TYPES_RULE);
    }
    types
}

/// Whether a text is a type, such as `booking.completed`, or all types of a kind: `booking.*`.
fn is_type(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let named = text.split_once('.');
    named.is_some_and(|(of, what)| is_word(of) && (what == "*" || is_word(what)))
}

impl From<Unread> for Problem {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Log(error) => error.into(),
            Unread::Store(error) => Error::from(error).into(),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let detail = error.to_string();
        match error {
            LogError::Expired => {
                let oldest = Some(Cursor::oldest().to_string());
                Self::new(Code::CursorExpired, detail)
                    .with(Figures { oldest, ..Figures::default() })
            }
            LogError::Busy => Self::new(Code::Overloaded, detail),
            LogError::Bus(cause) => {
                let detail = "the log of events does not answer just now; ask again";
                Self::new(Code::Unavailable, detail).because(cause.to_string())
            }
        }
    }
}
