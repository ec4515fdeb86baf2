//! `/api/v1/flights/{id}/disruption`: what became of the bookings of a flight that was cancelled or moved.

use super::Api;
use crate::domain::{Disruption, FlightId};
use crate::http::wire::auth::MayWriteFlights;
use crate::http::wire::json::Id;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use axum::extract::State;
use std::sync::Arc;

/// The progress of the refunds of a cancelled flight, or the bookings that a move of its departure concerns.
///
/// `bookings = refunded + remaining`, whenever it is read.
#[utoipa::path(
    get, path = "/api/v1/flights/{id}/disruption", operation_id = "getDisruption", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = Disruption),
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
) -> Result<axum::Json<Disruption>, Problem> {
    let _permit = api.permit()?;
    Ok(axum::Json(api.bookings.disruption(FlightId(id)).await?))
}
