//! The lowest price of each day of a month.

use super::{Api, places};
use crate::domain::{Invalid, SeatCount};
use crate::http::wire::gzip;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{Query, readable};
use crate::search::Calendar;
use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use http::{HeaderMap, Uri};
use std::sync::Arc;

/// The parameters of a calendar.
const PARAMETERS: [&str; 4] = ["source", "destination", "month", "seats"];

/// A calendar to show, parsed.
struct Question {
    route: String,
    /// The first day of the month.
    first: NaiveDate,
    seats: SeatCount,
}

/// Shows the lowest price of each day of a month.
///
/// Counts direct flights for sale that have the seats free. Days are in `SCHEDULE_TIMEZONE`; prices are in the
/// service's currency.
#[utoipa::path(
    get, path = "/api/v1/flights/calendar", operation_id = "showCalendar", tag = "flights",
    params(
        ("source" = String, Query, max_length = 100, pattern = r"\S", example = "Delhi"),
        ("destination" = String, Query, max_length = 100, pattern = r"\S", example = "Mumbai"),
        ("month" = String, Query, description = "YYYY-MM", example = "2025-01", pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$"),
        ("seats" = Option<i32>, Query, nullable = false, description = "Minimum free seats; 1 by default", minimum = 1),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, description = "gzip: compresses responses of 1 KiB or more"),
    ),
    responses(
        (status = 200, body = Calendar, headers(("Content-Encoding" = String), ("Vary" = String))),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn calendar(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let Question { route, first, seats } = Question::read(&query)?;
    let calendar = api.search.calendar(&route, first, seats, api.flights.currency).await?;
    Ok(gzip::json(&headers, &calendar))
}

impl Question {
    /// 400 for what can't be read, else 422 for what breaks a rule.
    fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let mut unreadable = Invalid::default();
        query.only(&PARAMETERS, &mut unreadable);
        query.required(&["source", "destination", "month"], &mut unreadable);
        let month = query.get("month").filter(|text| !text.trim().is_empty());
        let first = month.and_then(|text| month_of(text, &mut unreadable));
        let seats = query.read("seats", "must be an integer", &mut unreadable).unwrap_or(1);
        readable(unreadable)?;
        let mut invalid = Invalid::default();
        let route = places::route("", places::cities(query), &mut invalid);
        places::check_seats(seats, &mut invalid);
        invalid.or(())?;
        Ok(Self { route, first: first.unwrap_or_default(), seats })
    }
}

/// The first day of a month in the form YYYY-MM.
fn month_of(text: &str, unreadable: &mut Invalid) -> Option<NaiveDate> {
    let first = places::day(&format!("{text}-01"), "/month", &mut Invalid::default());
    if first.is_none() {
        unreadable.add("/month", "must be a month of the calendar, as YYYY-MM");
    }
    first
}
