//! Sales by day.

use crate::domain::{DaySales, FlightId, SeatsMoved, count_sales};
use crate::store::rows::sales::{
    CountedRow, SalesRow, added_rows, counted, days, flights_of, noted,
};
use crate::store::rows::sql::json;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::connection::writer::begin;
use crate::store::{Sales, StoreError};
use async_trait::async_trait;
use chrono::NaiveDate;

const COUNTED: &str = "
SELECT f.id, f.version, coalesce(c.up_to, 0), coalesce(c.versions, '[]')
  FROM json_each(?1) AS n JOIN flights AS f ON f.id = n.value
  LEFT JOIN sales_counted AS c ON c.flight_id = f.id";

// `WHERE true` tells the parser that ON begins no join.
const NOTE: &str = "
INSERT INTO sales_counted (flight_id, up_to, versions)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
    ON CONFLICT (flight_id) DO UPDATE SET up_to = excluded.up_to, versions = excluded.versions";

const ADD: &str = "
INSERT INTO sales (flight_id, day, sold, returned)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) WHERE true
    ON CONFLICT (flight_id, day) DO UPDATE
   SET sold = sold + excluded.sold, returned = returned + excluded.returned";

const DAYS: &str = "
SELECT s.day, s.sold, s.returned
  FROM flights AS f LEFT JOIN sales AS s ON s.flight_id = f.id
 WHERE f.id = ?1 ORDER BY s.day";

#[async_trait]
impl Sales for SqliteStore {
    async fn count_sales(&self, moved: &[(SeatsMoved, NaiveDate)]) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let rows = sqlx::query_as(COUNTED).bind(json(&flights_of(moved)));
        let rows: Vec<CountedRow> = rows.fetch_all(&mut *tx).await?;
        let mut counted = counted(rows);
        let added = count_sales(moved, &mut counted);
        if added.is_empty() {
            return Ok(tx.rollback().await?);
        }
        let noted = json(&noted(&added, &counted));
        sqlx::query(NOTE).bind(noted).execute(&mut *tx).await?;
        sqlx::query(ADD).bind(json(&added_rows(&added))).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    async fn sales(&self, flight: FlightId) -> Result<Option<Vec<DaySales>>, StoreError> {
        let query = sqlx::query_as(DAYS).bind(flight.0);
        let rows: Vec<SalesRow> = query.fetch_all(&self.reader).await?;
        days(flight, rows)
    }
}
