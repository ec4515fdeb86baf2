//! Flights: create, read, change, list.

pub(crate) mod list;

use super::Api;
use super::placing::REPLAYED;
use crate::booking::CreatedFlight;
use crate::domain::{Flight, FlightId, Invalid, NewFlight};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::MayWriteFlights;
use crate::http::wire::etag::is_known;
use crate::http::wire::json::flight_body::{FlightBody, NewFlightBody};
use crate::http::wire::json::{Id, Json};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::http::wire::{header_list, request_key};
use crate::rules::{ExpectedVersion, PutFlight};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// The path of flights; part of the idempotency keys in the store.
const PATH: &str = "/api/v1/flights";

/// The answer to a change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FlightPutBody {
    /// `Flight updated successfully`.
    #[schema(value_type = String)]
    message: &'static str,
    /// The flight after the change.
    flight: Flight,
}

/// Creates a flight.
///
/// With an `Idempotency-Key`, a repeat within 24 hours gets the flight of the first request.
#[utoipa::path(
    post, path = "/api/v1/flights", operation_id = "createFlight", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
        nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "schedule-2025-01-20-AB101")),
    request_body = NewFlightBody,
    responses(
        (status = 201, body = Flight, headers(
            ("Location" = String), ("ETag" = String), ("Idempotent-Replayed" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write, or a page of another origin"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    MayWriteFlights(caller): MayWriteFlights,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Json(body, mistyped): Json<FlightBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let flight = body.into_new(mistyped, api.flights.currency)?;
    let mut invalid = Invalid::default();
    api.flights.check_fare_rules(Some(&flight.fare_rules), &mut invalid).await?;
    let key = request_key::of_caller(PATH, &caller, &headers, &content(&flight), &mut invalid);
    invalid.or(())?;
    let mut deed = watch.begin(&caller, "flight.create", Logged::Always);
    let created = api.flights.create(flight, key).await;
    deed.flight = created.as_ref().ok().map(|created| created.flight.id);
    let CreatedFlight { flight, replayed } = deed.end(created)?;
    let replayed = replayed.then_some([REPLAYED]);
    let location = format!("/api/v1/flights/{}", flight.id);
    let head = [(header::LOCATION, location), (header::ETAG, etag(&flight))];
    Ok((StatusCode::CREATED, head, replayed, axum::Json(flight)).into_response())
}

/// The content of the request, whatever its notation: a repeat with the same key must have the same.
fn content(flight: &NewFlight) -> impl Serialize + use<> {
    // A request without taxes and fare rules has the content that it had before there were any.
    let price = match (flight.price.stored(), flight.taxes.stored()) {
        (price, 0) => json!(price),
        both => json!(both),
    };
    let seats = (flight.available_seats, flight.total_seats);
    let times = (flight.departs_at, flight.arrives_at);
    let route = (flight.source.to_string(), flight.destination.to_string());
    let price = match flight.fare_rules.stored() {
        None => price,
        Some(rules) => json!([price, rules]),
    };
    (flight.flight_number.clone(), route, times, seats, flight.flight_status, price)
}

/// Reads a flight.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}", operation_id = "getFlight", tag = "flights",
    params(
        ("id" = i64, Path, example = 1),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "The ETag of an earlier response"),
    ),
    responses(
        (status = 200, body = Flight, headers(("ETag" = String))),
        (status = 304, description = "Unchanged since the ETag in If-None-Match"),
        (status = 404),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let flight = api.flights.flight(FlightId(id)).await?;
    let etag = etag(&flight);
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(([(header::ETAG, etag)], axum::Json(flight)).into_response())
}

/// Changes the fields in the body and keeps the others. `null` removes `flight_number` and
/// `arrival_timestamp`.
///
/// A client can read a flight, change it and send it back whole: fields of responses are ignored. A change of
/// seat counts needs the flight's version, as `version` in the body or as `If-Match`.
#[utoipa::path(
    put, path = "/api/v1/flights/{id}", operation_id = "changeFlight", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(
        ("id" = i64, Path, example = 1),
        ("If-Match" = Option<String>, Header, description = "The ETag of the flight that is changed",
            nullable = false, example = "\"1\""),
    ),
    request_body = FlightBody,
    responses(
        (status = 200, body = FlightPutBody, headers(("ETag" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write, or a page of another origin"),
        (status = 404),
        (status = 409, description = "version_conflict, seats_in_use, flight_cancelled"),
        (status = 412),
        (status = 422, description = "validation_failed"), (status = 428),
    )
)]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    MayWriteFlights(caller): MayWriteFlights,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    Json(body, mut invalid): Json<FlightBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let version = body.version();
    let patch = body.into_patch(&mut invalid);
    api.flights.check_fare_rules(patch.fare_rules.as_ref(), &mut invalid).await?;
    invalid.or(())?;
    let expected = if_match(&headers).or(version.map(ExpectedVersion::Body));
    let put = PutFlight { flight_id: FlightId(id), patch, expected };
    let mut deed = watch.begin(&caller, "flight.change", Logged::Always);
    deed.flight = Some(FlightId(id));
    let flight = deed.end(api.flights.put(put).await)?;
    let head = [(header::ETAG, etag(&flight))];
    let body = FlightPutBody { message: "Flight updated successfully", flight };
    Ok((head, axum::Json(body)).into_response())
}

/// The tag of a flight: its version, quoted.
fn etag(flight: &Flight) -> String {
    format!("\"{}\"", flight.version)
}

/// The versions that `If-Match` lists; `None` without the header, and for `*`.
///
/// Tags of other forms match no version, weak tags included (RFC 9110, 13.1.1).
fn if_match(headers: &HeaderMap) -> Option<ExpectedVersion> {
    headers.get(header::IF_MATCH)?;
    let tags: Vec<&str> = header_list::items(headers, &header::IF_MATCH).collect();
    if tags.contains(&"*") {
        return None;
    }
    let version = |tag: &str| -> Option<i64> {
        let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
        // Only as `etag` writes it: "+1" and "01" are other tags.
        digits.parse().ok().filter(|version: &i64| version.to_string() == digits)
    };
    Some(ExpectedVersion::IfMatch(tags.into_iter().filter_map(version).collect()))
}
