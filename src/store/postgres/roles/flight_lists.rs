//! Lists of flights: each is read by an index in its order.

use crate::domain::Flight;
use crate::store::StoreError;
use crate::store::postgres::columns::flight_columns;
use crate::store::rows::FlightRow;
use crate::store::rows::lists::{FlightsBy, FlightsListed, ListRows};
use crate::store::rows::sql::flights_listed;
use crate::store::rows::unreadable::Unreadable;
use sqlx::{PgPool, Row as _};

/// A list of flights that `$of` chooses.
macro_rules! listed {
    ($of:literal) => {
        flights_listed!(flight_columns!(), $of, "instant($1)", "instant($3)")
    };
}

pub(in crate::store::postgres) const LISTED: &str = listed!("CAST($4 AS text) IS NULL");

pub(in crate::store::postgres) const LISTED_BY_STATUS: &str =
    listed!("CAST($4 AS text) IS NULL AND flight_status = $5");

pub(in crate::store::postgres) const LISTED_BY_ROUTE: &str = listed!("route = $4");

pub(in crate::store::postgres) const LISTED_BY_SOURCE: &str =
    listed!("split_part(route, '#', 1) = $4");

pub(in crate::store::postgres) const LISTED_BY_DESTINATION: &str =
    listed!("split_part(route, '#', 2) = $4");

/// The rows of a list of flights after a departure and number.
pub(super) async fn page(
    pool: &PgPool,
    unreadable: &Unreadable,
    listed: &FlightsListed,
    from: (i64, i64),
    limit: usize,
) -> Result<ListRows<Flight, (i64, i64)>, StoreError> {
    let statement = match listed.by {
        FlightsBy::Departure => LISTED,
        FlightsBy::Status => LISTED_BY_STATUS,
        FlightsBy::Route => LISTED_BY_ROUTE,
        FlightsBy::Source => LISTED_BY_SOURCE,
        FlightsBy::Destination => LISTED_BY_DESTINATION,
    };
    let rows = sqlx::query(statement)
        .bind(from.0)
        .bind(from.1)
        .bind(listed.until)
        .bind(listed.key.as_deref())
        .bind(listed.status)
        .bind(limit as i64)
        .fetch_all(pool)
        .await?;
    let last = rows
        .last()
        .map(|row| Ok::<_, sqlx::Error>((row.try_get("timestamp")?, row.try_get("id")?)));
    Ok(ListRows {
        readable: unreadable.readable::<FlightRow, _, _>(&rows),
        rows: rows.len(),
        last: last.transpose()?,
    })
}
