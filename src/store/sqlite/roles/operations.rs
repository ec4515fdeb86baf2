//! Health, gauges, drift and the audit.

use crate::domain::{BookingId, FlightId, Timestamp};
use crate::store::roles::drift::{
    NEWEST_BOOKINGS, SeatCountRow, agrees, deciding_payment, of_differences,
};
use crate::store::rows::audit::RULES;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::rows::waitlist::unserved_lines;
use crate::store::sqlite::connection::claim;
use crate::store::sqlite::{READERS, SqliteStore};
use crate::store::{
    Finding, Operations, PaymentsCompared, SWEEP_GRACE, SeatCount, SeatsAsked, StoreError,
};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use std::collections::BTreeMap;

/// One statement, so that all counts are of the same moment. Reads bookings by their flight.
const COUNT_SEATS: &str = "
WITH asked (id) AS (
    SELECT flight_id FROM (SELECT flight_id FROM bookings ORDER BY id DESC LIMIT $1)
    UNION SELECT id FROM (SELECT id FROM flights WHERE id > $2 ORDER BY id LIMIT $3)
    UNION SELECT value FROM json_each($4))
SELECT f.id, f.total_seats, f.available_seats, f.held_seats, f.blocked_seats,
       coalesce(sum(b.seats_booked) FILTER (WHERE b.status = 'pending'), 0),
       coalesce(sum(b.seats_booked) FILTER (WHERE b.status = 'completed'), 0)
  FROM asked CROSS JOIN flights AS f ON f.id = asked.id
  LEFT JOIN bookings AS b
    ON b.flight_id = f.id AND b.status IN ('pending', 'completed')
 GROUP BY f.id";

const COMPARE_PAYMENTS: &str = concat!(
    "WITH asked (id) AS (
         SELECT id FROM (SELECT id FROM bookings ORDER BY id DESC LIMIT $1)
         UNION SELECT id FROM (SELECT id FROM bookings WHERE id > $2 ORDER BY id LIMIT $3)
         UNION SELECT value FROM json_each($4))
     SELECT b.id, ",
    agrees!(),
    " FROM asked CROSS JOIN bookings AS b ON b.id = asked.id",
    deciding_payment!(),
);

#[async_trait]
impl Operations for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        self.writer.probe().await
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        Ok(claim::is_claimed(&self.file))
    }

    fn pools(&self) -> Vec<PoolUse> {
        let written = u64::from(self.writer.is_taken());
        let idle = self.reader.num_idle() as u64;
        let read = u64::from(self.reader.size()).saturating_sub(idle);
        vec![
            PoolUse { pool: "writer", used: written, idle: 1 - written, max: 1 },
            PoolUse { pool: "reader", used: read, idle, max: READERS.into() },
        ]
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        self.unreadable.count()
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        let also: Vec<i64> = asked.also.iter().map(|flight| flight.0).collect();
        let counts = sqlx::query_as(COUNT_SEATS)
            .bind(NEWEST_BOOKINGS)
            .bind(asked.after.0)
            .bind(asked.walk as i64)
            .bind(json(&also));
        let rows: Vec<SeatCountRow> = counts.fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(SeatCount::from).collect())
    }

    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        let also: Vec<i64> = asked.also.iter().map(|booking| booking.0).collect();
        let compared = sqlx::query_as(COMPARE_PAYMENTS)
            .bind(NEWEST_BOOKINGS)
            .bind(asked.after.0)
            .bind(asked.walk as i64)
            .bind(json(&also));
        let rows: Vec<(i64, bool)> = compared.fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(|(booking, agrees)| (BookingId(booking), agrees)).collect())
    }

    async fn unserved_lines(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        let found = sqlx::query_scalar(unserved_lines!("$1"));
        let found = found.bind(micros(before)).bind(limit as i64).fetch_all(&self.reader);
        let ids: Vec<i64> = found.await?;
        Ok(ids.into_iter().map(FlightId).collect())
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let mut tx = self.reader.begin().await?;
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let checked = sqlx::query_scalar(rule.checked).fetch_one(&mut *tx).await?;
            let broken = sqlx::query_scalar(rule.broken);
            let broken =
                if rule.is_timed() { broken.bind(micros(now - SWEEP_GRACE)) } else { broken };
            findings.push(rule.finding(checked, broken.fetch_all(&mut *tx).await?));
        }
        Ok(findings)
    }
}
