//! `/api/v1/flights/{id}/sales`: what a flight sold and took back, by day.

use super::Api;
use crate::domain::{DaySales, FlightId};
use crate::http::wire::auth::MayWriteFlights;
use crate::http::wire::json::Id;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

/// A flight's sales.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SalesBody {
    #[schema(value_type = i64, example = 1)]
    flight_id: FlightId,
    /// The days on which seats were sold or given back, in order.
    days: Vec<DaySales>,
}

/// What a flight sold and took back, by day. Counted from `flight-bookings`, with Kafka every five seconds.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}/sales", operation_id = "getSales", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = SalesBody),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write"),
        (status = 404, description = "not_found: no such flight"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    _: MayWriteFlights,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<SalesBody>, Problem> {
    let _permit = api.permit()?;
    let flight_id = FlightId(id);
    let days = api.bookings.sales(flight_id).await?;
    Ok(axum::Json(SalesBody { flight_id, days }))
}
