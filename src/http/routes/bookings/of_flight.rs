//! The manifest: a flight's bookings, for operators.

use super::super::Api;
use super::super::lists::{CURSOR_RULE, IdCursor, asked_limit, asked_status, check_limit, cut};
use super::body::ShownBooking;
use super::manifest;
use crate::domain::{BookingId, BookingStatus, FlightId, Invalid};
use crate::http::wire::accept::prefers_csv;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::has_scope;
use crate::http::wire::json::Id;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{Query, readable};
use crate::http::wire::table::CSV;
use crate::http::wire::{gzip, to_json};
use crate::identity::{Caller, Scope};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::Serialize;
use std::sync::Arc;

/// A flight's bookings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Manifest {
    /// By id, with their passengers; those who are cancelled say so.
    bookings: Vec<ShownBooking>,
    /// Number of bookings in this list.
    count: usize,
    /// The `cursor` of the next request, if there are more bookings.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The form depends on `Accept`, and its compression on `Accept-Encoding`.
const VARY: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("accept, accept-encoding"));

/// Lists a flight's bookings by id, with their passengers.
///
/// With `Accept: text/csv` a line a passenger, the first with the names of the columns; `Link` leads to the next
/// lines. `passenger` is the place in `booking_metadata`, from 0. Cells that a spreadsheet would take for formulas
/// begin with `'`.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}/bookings", operation_id = "listBookingsOfFlight", tag = "bookings", security((), ("bearer" = ["bookings:admin"])),
    params(
        ("id" = i64, Path, example = 1),
        ("status" = Option<String>, Query, nullable = false, pattern = "^(pending|completed|failed|cancelled)?$", description = "Only bookings with this status; all if empty"),
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum bookings in the list; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^[0-9]{0,18}$", description = "The next_cursor of the previous list"),
    ),
    responses(
        (status = 200, content((Manifest = "application/json"), (String = "text/csv")), headers(
            ("Content-Encoding" = String), ("Link" = String, description = "In CSV: the path of the next list, if there are more bookings"), ("Vary" = String))),
        (status = 403, description = "forbidden: the token lacks bookings:admin"),
        (status = 404, description = "not_found: no such flight"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn of_flight(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    Id(flight): Id,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "flight.bookings", Logged::Always);
    deed.flight = Some(FlightId(flight));
    deed.check(has_scope(&caller, Scope::BookingsAdmin))?;
    let asked = deed.check(Question::read(&query))?;
    let Question { status, after, limit } = asked;
    // One more than the limit shows whether there are more.
    let found = api.bookings.bookings_of_flight(FlightId(flight), status, after, limit + 1).await;
    let mut bookings = deed.end(found)?;
    let next_cursor = cut(&mut bookings, limit).map(|last| last.id.to_string());
    let shown = bookings.into_iter().map(|booking| ShownBooking::of(booking, &api.pages));
    let bookings: Vec<_> = shown.collect();
    if prefers_csv(&headers) {
        let mut response = gzip::of(&headers, [CSV, VARY], manifest::lines(&bookings));
        let next = next_cursor.map(|cursor| asked.link(uri.path(), &cursor));
        response.headers_mut().extend(next.map(|next| (header::LINK, next)));
        return Ok(response);
    }
    let list = Manifest { count: bookings.len(), bookings, next_cursor };
    Ok(gzip::of(&headers, [gzip::JSON, VARY], to_json(&list)))
}

/// A manifest to show, parsed.
#[derive(Clone, Copy)]
struct Question {
    status: Option<BookingStatus>,
    /// Only bookings with a higher id.
    after: Option<BookingId>,
    limit: usize,
}

impl Question {
    /// 400 for what can't be read, else 422 for what breaks a rule.
    fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
        query.only(&["status", "limit", "cursor"], &mut unreadable);
        let limit = asked_limit(query, &mut unreadable);
        let cursor: Option<IdCursor> = query.read_text("cursor", CURSOR_RULE, &mut unreadable);
        readable(unreadable)?;
        check_limit(limit, &mut invalid);
        let status = asked_status(query, &mut invalid);
        invalid.or(())?;
        Ok(Self { status, after: cursor.map(|IdCursor(id)| BookingId(id)), limit })
    }

    /// The `Link` to the list that follows (RFC 8288).
    fn link(self, path: &str, cursor: &str) -> HeaderValue {
        let status = self.status.map(|status| format!("&status={}", status.as_str()));
        let (limit, status) = (self.limit, status.unwrap_or_default());
        let link = format!("<{path}?limit={limit}&cursor={cursor}{status}>; rel=\"next\"");
        HeaderValue::try_from(link).expect("a path and words are a header's text")
    }
}
