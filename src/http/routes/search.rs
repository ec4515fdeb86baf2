//! Flight search.

use super::{Api, places};
use crate::domain::{Currency, DayKey, Flight, Invalid, Money, SeatCount};
use crate::http::wire::etag::is_known;
use crate::http::wire::gzip;
use crate::http::wire::gzip::{GZIP, JSON, VARY};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{Query, readable};
use crate::http::wire::response;
use crate::search::{Answer, FlightList, WholeFlightList};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use std::cmp::Reverse;
use std::sync::Arc;

/// Maximum of the parameter `limit`. Without it an answer has all flights of the day.
const LIMIT_MAX: usize = 1_000;

/// The parameters of a search.
const PARAMETERS: [&str; 8] =
    ["source", "destination", "date", "seats", "max_price", "sort", "limit", "include_sold_out"];

/// A search, parsed.
struct Question {
    day: DayKey,
    /// `None`: the cached answer is sent as it is.
    filter: Option<Filter>,
    /// Whether flights without enough seats are listed too.
    includes_sold_out: bool,
}

/// Narrows or sorts an answer.
#[derive(Default)]
struct Filter {
    seats: Option<SeatCount>,
    max_price: Option<Money>,
    sort: Sort,
    limit: Option<usize>,
}

#[derive(Default, Clone, Copy)]
enum Sort {
    #[default]
    Departure,
    LatestDeparture,
    Price,
    HighestPrice,
}

impl std::str::FromStr for Sort {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "departure" => Ok(Self::Departure),
            "-departure" => Ok(Self::LatestDeparture),
            "price" => Ok(Self::Price),
            "-price" => Ok(Self::HighestPrice),
            _ => Err(()),
        }
    }
}

/// Finds flights for sale on a route and day.
///
/// The date is a day in `SCHEDULE_TIMEZONE`. Cities match without regard to case, accents and blanks.
/// Responses are cached but current: a booking or a change invalidates them at once, and a flight leaves them
/// when it closes (`BOOKING_CLOSES_BEFORE`).
#[utoipa::path(
    get, path = "/api/v1/flights/search", operation_id = "searchFlights", tag = "flights",
    params(
        ("source" = String, Query, max_length = 100, pattern = r"\S", example = "Delhi"),
        ("destination" = String, Query, max_length = 100, pattern = r"\S", example = "Mumbai"),
        ("date" = String, Query, description = "YYYY-MM-DD", example = "2025-01-15", format = Date),
        ("seats" = Option<i32>, Query, nullable = false, description = "Minimum free seats", minimum = 1),
        ("max_price" = Option<String>, Query, description = "Maximum price of a seat, in the service's currency",
            nullable = false, pattern = r"^([0-9]{1,10}(\.[0-9]{1,3})?)?$", example = "2500.00"),
        ("sort" = Option<String>, Query, nullable = false, pattern = "^(-?(departure|price))?$", description = "departure (default), price; with a minus, descending"),
        ("limit" = Option<i32>, Query, nullable = false, minimum = 1, maximum = 1000),
        ("include_sold_out" = Option<String>, Query, nullable = false, pattern = "^(true|false)?$",
            description = "true: flights without the seats are listed too, with `waitlist: true`"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "The ETag of an earlier response"),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, description = "gzip: compresses responses of 1 KiB or more"),
    ),
    responses(
        (status = 200, body = FlightList, headers(
            ("ETag" = String), ("Content-Encoding" = String), ("Vary" = String))),
        (status = 304, description = "Unchanged since the ETag in If-None-Match"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn search(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let _permit = api.permit()?;
    let Question { day, filter, includes_sold_out } = Question::read(&query)?;
    if includes_sold_out {
        let found = api.search.answer_with_sold_out(&day).await?;
        let mut filter = filter.unwrap_or_default();
        let seats = filter.seats.take().unwrap_or(1);
        let listed = filter.apply(&found, api.flights.currency);
        return Ok(gzip::json(&headers, &WholeFlightList::of(&listed, seats)));
    }
    let found = api.search.answer(day).await?;
    let Some(filter) = filter else { return whole(&headers, &found) };
    Ok(gzip::json(&headers, &filter.apply(&found, api.flights.currency)))
}

/// A cached answer as it is, or 304 if the caller has it.
fn whole(headers: &HeaderMap, found: &Answer) -> Result<Response, Problem> {
    let tag = |text: &str| {
        let tag = HeaderValue::from_str(text);
        tag.map(|tag| (header::ETAG, tag)).map_err(|error| Problem::internal(error.to_string()))
    };
    if is_known(headers, &found.etag) {
        let head = [tag(&found.etag)?, VARY];
        return Ok(response(StatusCode::NOT_MODIFIED, head, Body::empty()));
    }
    if found.body.len() >= gzip::MIN_LENGTH && gzip::is_accepted(headers) {
        // Weak: other bytes with the same meaning.
        let head = [GZIP, tag(&format!("W/{}", found.etag))?, JSON, VARY];
        return Ok(response(StatusCode::OK, head, found.zipped(gzip::zip_fast)));
    }
    Ok(response(StatusCode::OK, [tag(&found.etag)?, JSON, VARY], found.body.clone()))
}

impl Question {
    /// 400 for what can't be read, else 422 for what breaks a rule.
    fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let mut unreadable = Invalid::default();
        query.only(&PARAMETERS, &mut unreadable);
        query.required(&["source", "destination", "date"], &mut unreadable);
        let date = places::asked_day(query, &mut unreadable);
        let filter = Filter {
            seats: query.read("seats", "must be an integer", &mut unreadable),
            max_price: query.read_text("max_price", "must be a decimal", &mut unreadable),
            sort: query
                .read_text(
                    "sort",
                    "must be departure, -departure, price or -price",
                    &mut unreadable,
                )
                .unwrap_or_default(),
            limit: query.read("limit", "must be a positive integer", &mut unreadable),
        };
        let includes_sold_out = query
            .read_text("include_sold_out", "must be true or false", &mut unreadable)
            .unwrap_or_default();
        readable(unreadable)?;
        let mut invalid = Invalid::default();
        let route = places::route("", places::cities(query), &mut invalid);
        filter.check(&mut invalid);
        invalid.or(())?;
        let is_filtered =
            ["seats", "max_price", "sort", "limit"].iter().any(|name| query.get(name).is_some());
        let day = DayKey { route, date: date.unwrap_or_default() };
        Ok(Self { day, filter: is_filtered.then_some(filter), includes_sold_out })
    }
}

impl Filter {
    fn check(&self, invalid: &mut Invalid) {
        if let Some(seats) = self.seats {
            places::check_seats(seats, invalid);
        }
        if self.max_price.is_some_and(Money::is_negative) {
            invalid.add("/max_price", "must not be negative");
        }
        if self.limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
            invalid.add("/limit", format!("must be 1 to {LIMIT_MAX}"));
        }
    }

    /// The answer's flights, filtered and sorted.
    ///
    /// Prices in different currencies can't be compared, and a flight from before a change of `CURRENCY`
    /// keeps its own: `max_price` is in `currency`, and flights in `currency` come first.
    fn apply<'a>(&self, answer: &'a Answer, currency: Currency) -> FlightList<'a> {
        let mut flights: Vec<&Flight> = answer
            .flights
            .iter()
            .filter(|flight| self.seats.is_none_or(|seats| flight.free_seats() >= seats))
            .filter(|flight| {
                self.max_price
                    .is_none_or(|price| flight.currency == currency && flight.price <= price)
            })
            .collect();
        let group = |flight: &Flight| (flight.currency != currency, flight.currency);
        // The sort is stable: flights of one price stay in order of departure.
        match self.sort {
            Sort::Departure => {}
            Sort::LatestDeparture => flights.sort_by_key(|flight| Reverse(flight.departs_at)),
            Sort::Price => flights.sort_by_key(|flight| (group(flight), flight.price)),
            Sort::HighestPrice => {
                flights.sort_by_key(|flight| (group(flight), Reverse(flight.price)));
            }
        }
        flights.truncate(self.limit.unwrap_or(usize::MAX));
        FlightList::of(flights)
    }
}
