//! The list of flights, for operators.

use super::super::lists::{CURSOR_RULE, asked_limit, asked_status, check_limit, cut};
use super::super::{Api, places};
use crate::domain::{Flight, FlightId, Invalid, ScheduleZone, Timestamp};
use crate::http::wire::auth::MayWriteFlights;
use crate::http::wire::gzip;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{Query, readable};
use crate::store::{FlightFilter, FlightPlace};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The parameters of the list.
const PARAMETERS: [&str; 6] = ["date", "source", "destination", "status", "limit", "cursor"];

/// Flights on sale and not.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FlightPage {
    /// By departure, then id.
    flights: Vec<Flight>,
    /// Number of flights in this list.
    count: usize,
    /// The `cursor` of the next request, if there are more flights.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists flights by departure, sold out, departed and cancelled ones too.
///
/// The date is a day in `SCHEDULE_TIMEZONE`; cities match as in a search.
#[utoipa::path(
    get, path = "/api/v1/flights", operation_id = "listFlights", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(
        ("date" = Option<String>, Query, nullable = false, description = "Only departures of this day, YYYY-MM-DD", format = Date, example = "2025-01-20"),
        ("source" = Option<String>, Query, nullable = false, max_length = 100, description = "Only flights from this city", example = "Delhi"),
        ("destination" = Option<String>, Query, nullable = false, max_length = 100, description = "Only flights to this city", example = "Mumbai"),
        ("status" = Option<String>, Query, nullable = false, pattern = "^(scheduled|on_time|delayed|departed|cancelled)?$", description = "Only flights with this status; all if empty"),
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum flights in the list; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^([0-3][0-9a-f]{15}[0-7][0-9a-f]{15})?$", description = "The next_cursor of the previous list"),
    ),
    responses(
        (status = 200, body = FlightPage, headers(("Content-Encoding" = String), ("Vary" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)), description = "forbidden: the token lacks flights:write"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: MayWriteFlights,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let Question { filter, after, limit } = Question::read(&query, api.flights.zone)?;
    // One more than the limit shows whether there are more.
    let mut flights = api.flights.list(&filter, after, limit + 1).await?;
    let next_cursor = cut(&mut flights, limit).map(|last| Cursor::of(last).to_string());
    let page = FlightPage { count: flights.len(), flights, next_cursor };
    Ok(gzip::json(&headers, &page))
}

/// A list to show, parsed.
struct Question {
    filter: FlightFilter,
    after: Option<FlightPlace>,
    limit: usize,
}

impl Question {
    /// 400 for what can't be read, else 422 for what breaks a rule.
    fn read(query: &Query<'_>, zone: ScheduleZone) -> Result<Self, Problem> {
        let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
        query.only(&PARAMETERS, &mut unreadable);
        let date = query.given("date");
        let date = date.and_then(|date| places::day(date, "/date", &mut unreadable));
        let limit = asked_limit(query, &mut unreadable);
        let cursor: Option<Cursor> = query.read_text("cursor", CURSOR_RULE, &mut unreadable);
        readable(unreadable)?;
        let [source, destination] = places::asked_cities(query, &mut invalid);
        let status = asked_status(query, &mut invalid);
        check_limit(limit, &mut invalid);
        invalid.or(())?;
        let departs = date.map(|date| zone.bounds(date));
        let filter = FlightFilter { departs, source, destination, status };
        Ok(Self { filter, after: cursor.map(|Cursor(place)| place), limit })
    }
}

/// A place in the list as clients see it: departure and id, 16 hexadecimal digits each.
#[derive(Debug, PartialEq, Eq)]
struct Cursor(FlightPlace);

impl Cursor {
    /// Added to a departure's microseconds, so that those before 1970 are positive too. Twice this is above any
    /// departure that a list shows.
    const SHIFT: i64 = 1 << 61;

    fn of(flight: &Flight) -> Self {
        Self(FlightPlace { departs_at: flight.departs_at, id: flight.id })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(FlightPlace { departs_at, id }) = self;
        write!(f, "{:016x}{:016x}", departs_at.timestamp_micros() + Self::SHIFT, id.0)
    }
}

impl FromStr for Cursor {
    type Err = ();

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(());
        }
        let (departure, id) = text.split_at(16);
        let number = |digits| i64::from_str_radix(digits, 16).map_err(drop);
        let micros = Some(number(departure)?).filter(|micros| *micros < 2 * Self::SHIFT);
        let micros = micros.ok_or(())? - Self::SHIFT;
        let departs_at = Timestamp::from_timestamp_micros(micros).ok_or(())?;
        Ok(Self(FlightPlace { departs_at, id: FlightId(number(id)?) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (departure, id) in [
            ("2025-01-20T10:00:00.000001Z", 1),
            ("1969-12-31T23:59:59Z", i64::MAX),
            ("0001-01-01T00:00:00Z", 0),
            ("9999-12-31T23:59:59Z", 7),
        ] {
            let departs_at = departure.parse().expect("an instant");
            let cursor = Cursor(FlightPlace { departs_at, id: FlightId(id) });
            assert_eq!(cursor.to_string().parse(), Ok(cursor), "{departure}");
        }
    }

    #[test]
    fn another_text_is_no_cursor() {
        let sound = "2006000000000000000000000000000a";
        assert!(sound.parse::<Cursor>().is_ok());
        for text in [
            "",
            "7",
            &sound[1..],
            &format!("{sound}0"),
            &sound.to_uppercase(),
            &sound.replacen('2', "4", 1),
            &sound.replacen('2', "+", 1),
            &sound.replacen("20", "é", 1),
            "20060000000000008000000000000000",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
    }
}
