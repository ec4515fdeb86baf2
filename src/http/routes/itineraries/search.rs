//! Search for itineraries: direct flights and connections.

use crate::domain::{Invalid, SeatCount};
use crate::http::routes::{Api, places};
use crate::http::wire::gzip;
use crate::http::wire::json::Json;
use crate::http::wire::json::fields::note_missing;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::itineraries::{Itinerary, Question, Sort};
use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The parameters of a search.
const PARAMETERS: [&str; 7] =
    ["source", "destination", "date", "max_stops", "seats", "sort", "limit"];

/// Maximum legs of a journey with several destinations.
const LEGS_MAX: usize = 8;

/// Itineraries in the order asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ItineraryList {
    itineraries: Vec<Itinerary>,
    /// Number of itineraries.
    count: usize,
}

/// A journey with several destinations.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "legs": [
        {"source": "Delhi", "destination": "Mumbai", "date": "2025-01-15"},
        {"source": "Mumbai", "destination": "Chennai", "date": "2025-01-20"}
    ],
    "seats": 1
}))]
pub(crate) struct LegsBody {
    /// 1 to 8 legs, none before the date of the leg before it.
    #[schema(required, nullable = false, min_items = 1, max_items = 8)]
    legs: Option<Vec<LegBody>>,
    /// Seats that each flight must have free; 1 by default.
    #[schema(minimum = 1)]
    seats: Option<i32>,
}

/// A leg of a journey.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LegBody {
    /// City of departure, at most 100 characters.
    #[schema(required, nullable = false, max_length = 100, pattern = r"\S")]
    source: Option<String>,
    /// City of arrival; differs from `source`.
    #[schema(required, nullable = false, max_length = 100, pattern = r"\S")]
    destination: Option<String>,
    /// Day of the first departure: YYYY-MM-DD, in `SCHEDULE_TIMEZONE`.
    #[schema(required, nullable = false, format = Date)]
    date: Option<String>,
}

impl LegBody {
    const SHAPE: Shape = Shape {
        fields: &[("source", Kind::Text), ("destination", Kind::Text), ("date", Kind::Text)],
        ignored: &[],
    };
}

impl Shaped for LegsBody {
    const SHAPE: Shape = Shape {
        fields: &[("legs", Kind::List(&LegBody::SHAPE)), ("seats", Kind::Integer32)],
        ignored: &[],
    };
}

/// The itineraries of each leg.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LegList {
    legs: Vec<Leg>,
}

/// The itineraries of a leg.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Leg {
    /// As asked for.
    source: String,
    /// As asked for.
    destination: String,
    /// As asked for.
    date: NaiveDate,
    /// By departure.
    itineraries: Vec<Itinerary>,
}

/// Finds itineraries from one city to another.
///
/// Direct flights and connections with up to `max_stops` stops, no city twice, whose first flight departs on
/// the date (a day in `SCHEDULE_TIMEZONE`). Between two flights lie `MIN_CONNECTION` to `MAX_CONNECTION`. Lists
/// every itinerary that no other beats in departure, arrival, price and stops together. A flight whose arrival
/// is unknown is listed as a direct flight alone.
#[utoipa::path(
    get, path = "/api/v1/itineraries/search", operation_id = "searchItineraries", tag = "itineraries",
    params(
        ("source" = String, Query, max_length = 100, pattern = r"\S", example = "Delhi"),
        ("destination" = String, Query, max_length = 100, pattern = r"\S", example = "Mumbai"),
        ("date" = String, Query, description = "YYYY-MM-DD", example = "2025-01-15", format = Date),
        ("max_stops" = Option<i32>, Query, nullable = false, description = "Maximum stops; 2 by default", minimum = 0, maximum = 2),
        ("seats" = Option<i32>, Query, nullable = false, description = "Minimum free seats of each flight; 1 by default", minimum = 1),
        ("sort" = Option<String>, Query, nullable = false, pattern = "^(departure|duration|price)?$", description = "departure (default), duration or price"),
        ("limit" = Option<i32>, Query, nullable = false, description = "50 by default", minimum = 1, maximum = 200),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, description = "gzip: compresses responses of 1 KiB or more"),
    ),
    responses(
        (status = 200, body = ItineraryList, headers(("Content-Encoding" = String), ("Vary" = String))),
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
    let itineraries = api.itineraries.find(&question(&query)?).await?;
    Ok(gzip::json(&headers, &ItineraryList { count: itineraries.len(), itineraries }))
}

/// Finds itineraries for a journey with several destinations.
///
/// Each leg is searched as by `GET`, by departure, and begins after the earliest arrival of the leg before
/// it. The cities of two legs need not join.
#[utoipa::path(
    post, path = "/api/v1/itineraries/search", operation_id = "searchLegs", tag = "itineraries",
    params(("Accept-Encoding" = Option<String>, Header, nullable = false, description = "gzip: compresses responses of 1 KiB or more")),
    request_body = LegsBody,
    responses(
        (status = 200, body = LegList, headers(("Content-Encoding" = String), ("Vary" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn search_legs(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    headers: HeaderMap,
    Json(body, mistyped): Json<LegsBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let questions = body.questions(mistyped)?;
    let found = api.itineraries.find_legs(&questions).await?;
    let legs = body.legs.unwrap_or_default().into_iter().zip(questions).zip(found);
    let leg = |((body, question), itineraries): ((LegBody, Question), Vec<Itinerary>)| Leg {
        source: body.source.unwrap_or_default(),
        destination: body.destination.unwrap_or_default(),
        date: question.date,
        itineraries,
    };
    Ok(gzip::json(&headers, &LegList { legs: legs.map(leg).collect() }))
}

/// 400 for what can't be read, else 422 for what breaks a rule.
fn question(query: &Query<'_>) -> Result<Question, Problem> {
    let mut unreadable = Invalid::default();
    query.only(&PARAMETERS, &mut unreadable);
    query.required(&["source", "destination", "date"], &mut unreadable);
    let date = places::asked_day(query, &mut unreadable);
    let integer = "must be an integer";
    let stops_max = query.read("max_stops", integer, &mut unreadable);
    let stops_max = stops_max.unwrap_or(Question::STOPS_MAX as i64);
    let seats = query.read("seats", integer, &mut unreadable).unwrap_or(1);
    let limit = query.read("limit", integer, &mut unreadable);
    let limit = limit.unwrap_or(Question::LIMIT_DEFAULT as i64);
    let sort = query.get("sort").unwrap_or("departure");
    let sort = sort_of(sort, &mut unreadable);
    readable(unreadable)?;
    let mut invalid = Invalid::default();
    let (source, destination) = city_keys("", places::cities(query), &mut invalid);
    let stops_max = within(stops_max, "/max_stops", 0..=Question::STOPS_MAX, &mut invalid);
    let limit = within(limit, "/limit", 1..=Question::LIMIT_MAX, &mut invalid);
    places::check_seats(seats, &mut invalid);
    invalid.or(())?;
    let date = date.unwrap_or_default();
    Ok(Question { source, destination, date, stops_max, seats, sort, limit })
}

fn sort_of(word: &str, unreadable: &mut Invalid) -> Sort {
    match word {
        "departure" => return Sort::Departure,
        "duration" => return Sort::Duration,
        "price" => return Sort::Price,
        _ => unreadable.add("/sort", "must be departure, duration or price"),
    }
    Sort::default()
}

fn within(
    value: i64,
    pointer: &str,
    range: std::ops::RangeInclusive<usize>,
    invalid: &mut Invalid,
) -> usize {
    let value = usize::try_from(value).ok().filter(|value| range.contains(value));
    value.unwrap_or_else(|| {
        invalid.add(pointer, format!("must be {} to {}", range.start(), range.end()));
        *range.start()
    })
}

/// The keys of two cities. Notes the rules that they break.
fn city_keys(at: &str, cities: [&str; 2], invalid: &mut Invalid) -> (String, String) {
    let route = places::route(at, cities, invalid);
    let (source, destination) = places::halves(&route).unwrap_or_default();
    (source.to_owned(), destination.to_owned())
}

impl LegsBody {
    /// A question a leg, or all broken rules, those in `invalid` included.
    fn questions(&self, mut invalid: Invalid) -> Result<Vec<Question>, Problem> {
        let seats = self.seats.unwrap_or(1);
        places::check_seats(seats, &mut invalid);
        let Some(legs) = &self.legs else {
            note_missing(&mut invalid, "/legs".to_owned());
            return Err(invalid.into());
        };
        if !(1..=LEGS_MAX).contains(&legs.len()) {
            invalid.add("/legs", format!("must be 1 to {LEGS_MAX} legs"));
            return Err(invalid.into());
        }
        let mut questions: Vec<Question> = Vec::with_capacity(legs.len());
        for (number, leg) in legs.iter().enumerate() {
            let at = format!("/legs/{number}");
            let question = leg.question(&at, seats, &mut invalid);
            let is_early = |earlier: &Question| question.date < earlier.date;
            if questions.last().is_some_and(is_early) {
                let rule = "must not be before the date of the leg before it";
                invalid.add(format!("{at}/date"), rule);
            }
            questions.push(question);
        }
        Ok(invalid.or(questions)?)
    }
}

impl LegBody {
    /// The leg's question. Notes the rules that the leg breaks; `at` is its pointer.
    fn question(&self, at: &str, seats: SeatCount, invalid: &mut Invalid) -> Question {
        let city = |name: &str, sent: &Option<String>, invalid: &mut Invalid| -> String {
            let sent = sent.as_deref().unwrap_or_default();
            if sent.trim().is_empty() {
                note_missing(invalid, format!("{at}/{name}"));
            }
            sent.to_owned()
        };
        let source = city("source", &self.source, invalid);
        let destination = city("destination", &self.destination, invalid);
        let is_named = !source.trim().is_empty() && !destination.trim().is_empty();
        let mut broken = Invalid::default();
        let (source, destination) = city_keys(at, [&source, &destination], &mut broken);
        if is_named {
            invalid.0.extend(broken.0);
        }
        let date = match &self.date {
            Some(text) => places::day(text, &format!("{at}/date"), invalid),
            None => {
                note_missing(invalid, format!("{at}/date"));
                None
            }
        };
        Question {
            source,
            destination,
            // A missing date is refused; it must not look early as well.
            date: date.unwrap_or(NaiveDate::MAX),
            stops_max: Question::STOPS_MAX,
            seats,
            sort: Sort::Departure,
            limit: Question::LIMIT_DEFAULT,
        }
    }
}
