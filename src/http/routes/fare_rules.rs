//! `/api/v1/fare-rules/{name}`: what a cancellation costs.

use super::Api;
use crate::domain::{FareRow, FareRowText, FareRules, Invalid};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::MayWriteFlights;
use crate::http::wire::json::Json;
use crate::http::wire::json::fields::required;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::NoQuery;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Fare rules to put.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rules": [
    {"departs_in": "7d", "fee_percent": 25, "fee_fixed": 0},
    {"departs_in": "24h", "fee_percent": 50, "fee_fixed": 100.00}
]}))]
pub(crate) struct FareRulesBody {
    /// At most 20; the first that matches decides. If none does, all but the taxes is kept.
    #[schema(required, nullable = false, max_items = 20)]
    rules: Option<Vec<FareRowText>>,
}

impl Shaped for FareRulesBody {
    const SHAPE: Shape =
        Shape { fields: &[("rules", Kind::List(&ROW))], ignored: &["version", "name"] };
}

const ROW: Shape = Shape {
    fields: &[
        ("booked_within", Kind::Text),
        ("departs_in_at_booking", Kind::Text),
        ("departs_in", Kind::Text),
        ("fee_percent", Kind::Integer32),
        ("fee_fixed", Kind::Money),
    ],
    ignored: &[],
};

/// A version of fare rules.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FareRules)]
pub(crate) struct FareRulesShown {
    /// The name that flights have.
    #[schema(value_type = String, example = "standard")]
    name: Arc<str>,
    /// The first row that matches decides.
    #[schema(value_type = Vec<FareRowText>)]
    rules: Vec<FareRow>,
    /// Grows by one with each change. A booking keeps the version that it was sold with.
    #[schema(minimum = 1)]
    version: i64,
}

impl From<FareRules> for FareRulesShown {
    fn from(rules: FareRules) -> Self {
        Self { name: rules.name, rules: rules.rows, version: rules.version }
    }
}

/// Reads fare rules as they are now.
///
/// Each installation has `free` (the rules of a flight that names none), `flexible`, `standard` and `in-2026`.
#[utoipa::path(
    get, path = "/api/v1/fare-rules/{name}", operation_id = "getFareRules", tag = "flights",
    params(("name" = String, Path, example = "standard")),
    responses(
        (status = 200, body = FareRulesShown),
        (status = 404, description = "not_found: no fare rules of this name"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    Path(name): Path<String>,
) -> Result<axum::Json<FareRulesShown>, Problem> {
    let _permit = api.permit()?;
    let rules = if FareRules::is_name(&name) { api.flights.fare_rules(&name).await? } else { None };
    let missing = || Problem::new(Code::NotFound, "there are no fare rules of this name");
    Ok(axum::Json(rules.ok_or_else(missing)?.into()))
}

/// Changes fare rules, or makes new ones. What was sold before keeps the version that it was sold with.
///
/// A row matches if all conditions that it has hold: the booking was made at most `booked_within` ago; departure was
/// at least `departs_in_at_booking` away when it was made; departure is at least `departs_in` away now. The fee of a
/// passenger is `fee_percent` of price without taxes, rounded half up, and `fee_fixed`, together at most price without
/// taxes.
#[utoipa::path(
    put, path = "/api/v1/fare-rules/{name}", operation_id = "putFareRules", tag = "flights", security((), ("bearer" = ["flights:write"])),
    params(("name" = String, Path, description = "1 to 40 of a-z, 0-9 and -", example = "standard")),
    request_body = FareRulesBody,
    responses(
        (status = 200, body = FareRulesShown, description = "changed, or as they were"),
        (status = 201, body = FareRulesShown, description = "new"),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks flights:write, or a page of another origin"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    MayWriteFlights(caller): MayWriteFlights,
    watch: Watch,
    _: NoQuery,
    Path(name): Path<String>,
    Json(body, mut invalid): Json<FareRulesBody>,
) -> Result<(StatusCode, axum::Json<FareRulesShown>), Problem> {
    let _permit = api.permit()?;
    let rows = required(&mut invalid, "rules", body.rules).unwrap_or_default();
    let rules = checked(&name, &rows, &api, invalid)?;
    let mut deed = watch.begin(&caller, "fare_rules.change", Logged::Always);
    let (rules, is_new) = deed.end(api.flights.put_fare_rules(rules).await)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(rules.into())))
}

/// The rules to put; their version is still to be found.
fn checked(
    name: &str,
    rows: &[FareRowText],
    api: &Api,
    invalid: Invalid,
) -> Result<FareRules, Invalid> {
    FareRules::checked(name, 1, rows, api.flights.currency, invalid)
}
