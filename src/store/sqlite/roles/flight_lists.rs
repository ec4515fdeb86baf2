//! Lists of flights: each is read by an index in its order.

use crate::domain::Flight;
use crate::store::StoreError;
use crate::store::rows::FlightRow;
use crate::store::rows::lists::{FlightsBy, FlightsListed, ListRows};
use crate::store::rows::sql::flights_listed;
use crate::store::rows::unreadable::Unreadable;
use crate::store::sqlite::columns::flight_columns;
use sqlx::{Row as _, SqlitePool};

/// A list of flights that `$of` chooses.
macro_rules! listed {
    ($of:literal) => {
        flights_listed!(flight_columns!(), $of, "$1", "$3")
    };
}

const LISTED: &str = listed!("CAST($4 AS text) IS NULL");

const LISTED_BY_STATUS: &str = listed!("CAST($4 AS text) IS NULL AND flight_status = $5");

const LISTED_BY_ROUTE: &str = listed!("route = $4");

const LISTED_BY_SOURCE: &str = listed!("substr(route, 1, instr(route, '#') - 1) = $4");

const LISTED_BY_DESTINATION: &str = listed!("substr(route, instr(route, '#') + 1) = $4");

/// The rows of a list of flights after a departure and number.
pub(super) async fn page(
    pool: &SqlitePool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema::migrate;
    use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

    #[tokio::test]
    async fn each_list_of_flights_has_an_index_in_its_order() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("memory");
        migrate(&mut connection).await.expect("a schema");
        for (statement, index) in [
            (LISTED, "flights_by_departure (timestamp>? AND timestamp<?)"),
            (
                LISTED_BY_STATUS,
                "flights_by_status (flight_status=? AND timestamp>? AND timestamp<?)",
            ),
            (LISTED_BY_ROUTE, "flights_by_route (route=? AND timestamp>? AND timestamp<?)"),
            (LISTED_BY_SOURCE, "flights_by_source (<expr>=? AND timestamp>? AND timestamp<?)"),
            (
                LISTED_BY_DESTINATION,
                "flights_by_destination (<expr>=? AND timestamp>? AND timestamp<?)",
            ),
        ] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let steps = sqlx::query(explain).fetch_all(&mut connection).await.expect("a plan");
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            assert_eq!(steps, [format!("SEARCH flights USING INDEX {index}")], "{statement}");
        }
    }
}
