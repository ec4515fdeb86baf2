//! Health, gauges, drift and the audit.

use crate::domain::{BookingId, FlightId, Timestamp};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::advisory_locks::{for_whole_tables, is_served};
use crate::store::postgres::connection::transaction;
use crate::store::roles::drift::{
    NEWEST_BOOKINGS, SeatCountRow, agrees, deciding_payment, of_differences,
};
use crate::store::rows::audit::RULES;
use crate::store::rows::micros;
use crate::store::rows::waitlist::unserved_lines;
use crate::store::{
    Finding, Operations, PaymentsCompared, SWEEP_GRACE, SeatCount, SeatsAsked, StoreError,
};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use sqlx::PgPool;
use std::collections::BTreeMap;

/// One statement, so that all counts are of the same moment. The flights are an array, whose size the
/// planner does not guess: for a large guess it would read every flight.
pub(in crate::store::postgres) const COUNT_SEATS: &str = "
SELECT f.id, f.total_seats::bigint, f.available_seats::bigint, f.held_seats::bigint,
       f.blocked_seats::bigint, b.pending, b.completed
  FROM flights AS f
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(seats_booked) FILTER (WHERE status = 'pending'), 0) AS pending,
              coalesce(sum(seats_booked) FILTER (WHERE status = 'completed'), 0) AS completed
         FROM bookings WHERE flight_id = f.id) AS b
 WHERE f.id = ANY(ARRAY(
       (SELECT flight_id FROM bookings ORDER BY id DESC LIMIT $1)
       UNION (SELECT id FROM flights WHERE id > $2 ORDER BY id LIMIT $3)
       UNION SELECT unnest($4::bigint[])))";

pub(in crate::store::postgres) const COMPARE_PAYMENTS: &str = concat!(
    "SELECT b.id, ",
    agrees!(),
    " FROM bookings AS b",
    deciding_payment!(),
    " WHERE b.id = ANY(ARRAY(
            (SELECT id FROM bookings ORDER BY id DESC LIMIT $1)
            UNION (SELECT id FROM bookings WHERE id > $2 ORDER BY id LIMIT $3)
            UNION SELECT unnest($4::bigint[])))"
);

pub(in crate::store::postgres) const UNSERVED_LINES: &str = unserved_lines!("instant($1)");

#[async_trait]
impl Operations for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.guard.bound(sqlx::query("SELECT 1").execute(&self.primary)).await.map(|_| ())
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        let asked = async { is_served(&mut *self.primary.acquire().await?).await };
        self.guard.bound(asked).await
    }

    fn pools(&self) -> Vec<PoolUse> {
        let pool_use = |pool, connections: &PgPool| PoolUse {
            pool,
            used: u64::from(connections.size()).saturating_sub(connections.num_idle() as u64),
            idle: connections.num_idle() as u64,
            max: u64::from(connections.options().get_max_connections()),
        };
        let reader = self.reader.pool().unwrap_or(&self.primary);
        vec![pool_use("primary", &self.primary), pool_use("reader", reader)]
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        self.unreadable.count()
    }

    fn version_limit(&self) -> i64 {
        self.version_limit
    }

    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        let counts = sqlx::query_as(COUNT_SEATS)
            .bind(NEWEST_BOOKINGS)
            .bind(asked.after.0)
            .bind(asked.walk as i64)
            .bind(asked.also.iter().map(|flight| flight.0).collect::<Vec<_>>());
        let rows: Vec<SeatCountRow> = self.guard.bound(counts.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(SeatCount::from).collect())
    }

    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        let compared = sqlx::query_as(COMPARE_PAYMENTS)
            .bind(NEWEST_BOOKINGS)
            .bind(asked.after.0)
            .bind(asked.walk as i64)
            .bind(asked.also.iter().map(|booking| booking.0).collect::<Vec<_>>());
        let rows: Vec<(i64, bool)> = self.guard.bound(compared.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(|(booking, agrees)| (BookingId(booking), agrees)).collect())
    }

    async fn unserved_lines(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        let found = sqlx::query_scalar(UNSERVED_LINES).bind(micros(before)).bind(limit as i64);
        let ids: Vec<i64> = self.guard.bound(found.fetch_all(&self.primary)).await?;
        Ok(ids.into_iter().map(FlightId).collect())
    }

    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = transaction::begin_with(&self.primary, begin).await?;
        for_whole_tables(&mut tx).await?;
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let checked = sqlx::query_scalar(rule.checked).fetch_one(&mut *tx).await?;
            let broken = sqlx::query_scalar(rule.broken);
            let broken =
                if rule.is_timed() { broken.bind((now - SWEEP_GRACE).naive_utc()) } else { broken };
            findings.push(rule.finding(checked, broken.fetch_all(&mut *tx).await?));
        }
        tx.roll_back().await?;
        Ok(findings)
    }
}
