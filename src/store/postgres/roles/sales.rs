//! Sales by day.

use crate::domain::{DaySales, FlightId, SeatsMoved, count_sales};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::column;
use crate::store::rows::sales::{
    CountedRow, SalesRow, added_rows, counted, days, flights_of, noted,
};
use crate::store::{Sales, StoreError};
use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::PgPool;

/// In the order of flights, like all locks here: two counters wait for one another, and never in a circle.
const BEGIN: &str = "
INSERT INTO sales_counted (flight_id)
SELECT id FROM flights WHERE id = ANY($1) AND id NOT IN (SELECT flight_id FROM sales_counted WHERE flight_id = ANY($1))
 ORDER BY id ON CONFLICT (flight_id) DO NOTHING";

const COUNTED: &str = "
SELECT c.flight_id, f.version::bigint, c.up_to, c.versions
  FROM sales_counted AS c JOIN flights AS f ON f.id = c.flight_id
 WHERE c.flight_id = ANY($1) ORDER BY c.flight_id FOR NO KEY UPDATE OF c";

const NOTE: &str = "
UPDATE sales_counted AS c SET up_to = n.up_to, versions = n.versions
  FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS n (flight_id, up_to, versions)
 WHERE c.flight_id = n.flight_id";

const ADD: &str = "
INSERT INTO sales AS s (flight_id, day, sold, returned)
SELECT flight_id, day::date, sold, returned
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS n (flight_id, day, sold, returned)
    ON CONFLICT (flight_id, day) DO UPDATE
   SET sold = s.sold + excluded.sold, returned = s.returned + excluded.returned";

const DAYS: &str = "
SELECT s.day::text, s.sold, s.returned
  FROM flights AS f LEFT JOIN sales AS s ON s.flight_id = f.id
 WHERE f.id = $1 ORDER BY s.day";

#[async_trait]
impl Sales for PostgresStore {
    async fn count_sales(&self, moved: &[(SeatsMoved, NaiveDate)]) -> Result<(), StoreError> {
        self.guard.bound(count(&self.primary, moved)).await
    }

    async fn sales(&self, flight: FlightId) -> Result<Option<Vec<DaySales>>, StoreError> {
        let query = sqlx::query_as(DAYS).bind(flight.0);
        let rows: Vec<SalesRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        days(flight, rows)
    }
}

async fn count(pool: &PgPool, moved: &[(SeatsMoved, NaiveDate)]) -> Result<(), StoreError> {
    let flights = flights_of(moved);
    let mut tx = begin(pool).await?;
    sqlx::query(BEGIN).bind(&flights).execute(&mut *tx).await?;
    let rows: Vec<CountedRow> = sqlx::query_as(COUNTED).bind(&flights).fetch_all(&mut *tx).await?;
    let mut counted = counted(rows);
    let added = count_sales(moved, &mut counted);
    if added.is_empty() {
        tx.roll_back().await?;
        return Ok(());
    }
    let noted = noted(&added, &counted);
    sqlx::query(NOTE)
        .bind(column(&noted, |row| row.0))
        .bind(column(&noted, |row| row.1))
        .bind(column(&noted, |row| row.2.clone()))
        .execute(&mut *tx)
        .await?;
    let rows = added_rows(&added);
    sqlx::query(ADD)
        .bind(column(&rows, |row| row.0))
        .bind(column(&rows, |row| row.1.clone()))
        .bind(column(&rows, |row| row.2))
        .bind(column(&rows, |row| row.3))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
