//! Flights: create, read, change.

use super::Api;
use super::auth::MayWriteFlights;
use super::body::{Id, Json};
use super::bookings::REPLAYED;
use super::fields::{instant, required};
use super::problem::{Code, Problem, ProblemBody};
use super::request_key;
use super::search::is_known;
use crate::booking::{CreatedFlight, ExpectedVersion, PutFlight};
use crate::domain::{Flight, FlightId, FlightPatch, FlightStatus, Invalid, Money, NewFlight};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The route that flights are created at.
const PATH: &str = "/api/v1/flights";

/// A flight's fields as they are sent. Others are ignored, so a flight as it was read can be sent
/// back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
    "available_seats": 150, "total_seats": 180, "price": 2500.00
}))]
pub(super) struct FlightBody {
    /// 1 to 20 letters and digits.
    flight_number: Option<String>,
    /// 1 to 100 characters.
    source: Option<String>,
    /// 1 to 100 characters; differs from `source`.
    destination: Option<String>,
    /// Departure, RFC 3339 with its offset.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Arrival, after departure.
    #[schema(format = DateTime)]
    arrival_timestamp: Option<String>,
    /// Seats to sell here, at most `total_seats`.
    #[schema(minimum = 0)]
    available_seats: Option<i32>,
    /// Seats on board.
    #[schema(minimum = 1, maximum = 10000)]
    total_seats: Option<i32>,
    /// A new flight is `scheduled` unless it says otherwise.
    #[schema(value_type = Option<FlightStatus>)]
    flight_status: Option<String>,
    /// Price of one seat: a number or a string, two decimals at most.
    price: Option<Money>,
    /// What a change was decided on; needed to change seat counts.
    version: Option<i64>,
}

/// A new flight's fields: [`FlightBody`] as `POST` wants it. Only its schema is used.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the schema says what is required, which one type for both can not")]
#[schema(example = json!({
    "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
    "available_seats": 150, "total_seats": 180, "price": 2500.00
}))]
struct NewFlightBody {
    /// 1 to 20 letters and digits.
    #[schema(min_length = 1, max_length = 20, pattern = "^[A-Za-z0-9]+$")]
    flight_number: Option<String>,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    source: String,
    /// 1 to 100 characters; differs from `source`.
    #[schema(min_length = 1, max_length = 100)]
    destination: String,
    /// Departure, RFC 3339 with its offset.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Arrival, after departure.
    #[schema(format = DateTime)]
    arrival_timestamp: Option<String>,
    /// Seats to sell here, at most `total_seats`.
    #[schema(minimum = 0, maximum = 10000)]
    available_seats: i32,
    /// Seats on board.
    #[schema(minimum = 1, maximum = 10000)]
    total_seats: i32,
    /// `scheduled` unless it says otherwise.
    flight_status: Option<FlightStatus>,
    /// Price of one seat: a number or a string, two decimals at most.
    price: Money,
}

/// The answer to a change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FlightPutBody {
    /// `Flight updated successfully`.
    #[schema(value_type = String)]
    message: &'static str,
    /// The flight as it is now.
    flight: Flight,
}

impl FlightBody {
    /// The flight to create, or all that is wrong with it, with what was noted before.
    fn into_new(self, mut invalid: Invalid) -> Result<NewFlight, Invalid> {
        let source = required(&mut invalid, "source", self.source.as_deref());
        let destination = required(&mut invalid, "destination", self.destination.as_deref());
        let available_seats = required(&mut invalid, "available_seats", self.available_seats);
        let total_seats = required(&mut invalid, "total_seats", self.total_seats);
        let price = required(&mut invalid, "price", self.price);
        let timestamp = required(&mut invalid, "timestamp", self.timestamp.as_deref());
        let patch = self.patch(&mut invalid);
        // Stand-ins that keep every rule where a field is missing, so that only what is wrong is named.
        let (default_source, default_destination) = stand_ins(source, destination);
        let total = total_seats.unwrap_or(NewFlight::TOTAL_SEATS_MAX);
        let flight = NewFlight {
            flight_number: patch.flight_number,
            source: source.unwrap_or(default_source).into(),
            destination: destination.unwrap_or(default_destination).into(),
            departs_at: patch.departs_at.unwrap_or_default(),
            arrives_at: patch.arrives_at.filter(|_| patch.departs_at.is_some()),
            available_seats: available_seats.unwrap_or_default(),
            total_seats: total,
            flight_status: patch.flight_status.unwrap_or(FlightStatus::Scheduled),
            price: price.unwrap_or(Money::MAX),
        };
        debug_assert!(timestamp.is_some() || !invalid.0.is_empty());
        match flight.checked() {
            Ok(flight) => invalid.or(flight),
            Err(more) => {
                invalid.0.extend(more.0);
                Err(invalid)
            }
        }
    }

    /// What is sent, read; what can't be read is noted.
    fn patch(&self, invalid: &mut Invalid) -> FlightPatch {
        let departs_at = self.timestamp.as_deref().and_then(|t| instant(invalid, "timestamp", t));
        let arrives_at = self.arrival_timestamp.as_deref();
        let status = self.flight_status.as_deref();
        FlightPatch {
            flight_number: self.flight_number.as_deref().map(Into::into),
            source: self.source.as_deref().map(Into::into),
            destination: self.destination.as_deref().map(Into::into),
            departs_at,
            arrives_at: arrives_at.and_then(|t| instant(invalid, "arrival_timestamp", t)),
            available_seats: self.available_seats,
            total_seats: self.total_seats,
            flight_status: status.and_then(|word| {
                let status = FlightStatus::parse(word);
                if status.is_none() {
                    let known = FlightStatus::ALL.map(FlightStatus::as_str).join(", ");
                    invalid.add("/flight_status", format!("must be one of {known}"));
                }
                status
            }),
            price: self.price,
        }
    }
}

fn stand_ins<'a>(source: Option<&str>, destination: Option<&str>) -> (&'a str, &'a str) {
    let differs = |other: Option<&str>| if other == Some("A") { "B" } else { "A" };
    match (source, destination) {
        (None, None) => ("A", "B"),
        _ => (differs(destination), differs(source)),
    }
}

/// Creates a flight.
///
/// With an `Idempotency-Key` a repeat within 24 hours makes nothing new.
#[utoipa::path(
    post, path = "/api/v1/flights", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
        nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "schedule-2025-01-20-AB101")),
    request_body = NewFlightBody,
    responses(
        (status = 201, body = Flight, headers(
            ("Location" = String), ("ETag" = String), ("Idempotent-Replayed" = String))),
        (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write, or a page of another origin"),
        (status = 408, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "validation_failed, idempotency_key_reused"), (status = 503, body = ProblemBody),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    MayWriteFlights(caller): MayWriteFlights,
    headers: HeaderMap,
    Json(body, mistyped): Json<FlightBody>,
) -> Result<Response, Problem> {
    let flight = body.into_new(mistyped)?;
    let key = request_key::of_caller(PATH, &caller, &headers, &asked(&flight))?;
    let CreatedFlight { flight, replayed } = api.flights.create(flight, key).await?;
    let replayed = replayed.then_some([REPLAYED]);
    let location = format!("/api/v1/flights/{}", flight.id);
    let head = [(header::LOCATION, location), (header::ETAG, etag(&flight))];
    Ok((StatusCode::CREATED, head, replayed, axum::Json(flight)).into_response())
}

/// What a new flight's request asks for, however it was written.
fn asked(flight: &NewFlight) -> impl Serialize + use<> {
    let price = flight.price.minor();
    let seats = (flight.available_seats, flight.total_seats);
    let times = (flight.departs_at, flight.arrives_at);
    let route = (flight.source.to_string(), flight.destination.to_string());
    (flight.flight_number.clone(), route, times, seats, flight.flight_status, price)
}

/// Reads a flight.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}", tag = "flights",
    params(
        ("id" = i64, Path, example = 1),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "The ETag of an earlier answer"),
    ),
    responses(
        (status = 200, body = Flight, headers(("ETag" = String))),
        (status = 304, description = "Unchanged since the ETag in If-None-Match"),
        (status = 400, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response, Problem> {
    let flight = api.flights.flight(FlightId(id)).await?;
    let etag = etag(&flight);
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(([(header::ETAG, etag)], axum::Json(flight)).into_response())
}

/// Changes the fields that are named; the others stay.
///
/// Seat counts change only against a known version: `version` in the body, or `If-Match`.
#[utoipa::path(
    put, path = "/api/v1/flights/{id}", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(
        ("id" = i64, Path, example = 1),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change was decided on",
            nullable = false, pattern = r#"^("[0-9]{1,18}"|\*)$"#, example = "\"1\""),
    ),
    request_body = FlightBody,
    responses(
        (status = 200, body = FlightPutBody, headers(("ETag" = String))),
        (status = 400, body = ProblemBody),
        (status = 403, body = ProblemBody, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write, or a page of another origin"),
        (status = 404, body = ProblemBody), (status = 408, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "version_conflict, seats_in_use, flight_cancelled"),
        (status = 412, body = ProblemBody), (status = 413, body = ProblemBody), (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "validation_failed"), (status = 428, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    _: MayWriteFlights,
    headers: HeaderMap,
    Id(id): Id,
    Json(body, mut invalid): Json<FlightBody>,
) -> Result<Response, Problem> {
    let patch = body.patch(&mut invalid);
    invalid.or(())?;
    let expected = if_match(&headers)?.or(body.version.map(ExpectedVersion::Body));
    let put = PutFlight { flight_id: FlightId(id), patch, expected };
    let flight = api.flights.put(put).await?;
    let head = [(header::ETAG, etag(&flight))];
    let body = FlightPutBody { message: "Flight updated successfully", flight };
    Ok((head, axum::Json(body)).into_response())
}

/// A flight's tag: its version, quoted.
fn etag(flight: &Flight) -> String {
    format!("\"{}\"", flight.version)
}

/// The version that `If-Match` names; `*` asks for no version.
fn if_match(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).map(str::parse);
    match version {
        Some(Ok(version)) => Ok(Some(ExpectedVersion::IfMatch(version))),
        _ => {
            let detail = "If-Match must be a flight's ETag, such as \"3\", or *";
            Err(Problem::new(Code::MalformedRequest, detail))
        }
    }
}
