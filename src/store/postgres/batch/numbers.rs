//! Booking numbers, drawn in blocks from the database's sequence.

use crate::domain::BookingId;
use crate::store::StoreError;
use crate::store::postgres::connection::stall_guard::StallGuard;
use crate::store::rows::sql::HIGHEST_BOOKING;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

/// Numbers drawn per round trip. Those that a process leaves unused are gaps.
const DRAWN: i32 = 256;

/// Numbers that are drawn and not used yet.
#[derive(Default)]
pub(in crate::store) struct Numbers(Mutex<Block>);

#[derive(Default)]
struct Block {
    /// In descending order.
    numbers: Vec<i64>,
    drawn_at: Option<Instant>,
    /// The highest stored number when the sequence was last advanced.
    highest: i64,
}

impl Numbers {
    /// The next number. A block is dropped if a connection was lost after it was drawn: after a failover
    /// the new server may draw the same numbers again.
    pub(in crate::store) async fn draw(
        &self,
        pool: &PgPool,
        guard: &StallGuard,
    ) -> Result<BookingId, StoreError> {
        self.0.lock().await.next(pool, guard).await
    }

    /// A number in place of a taken one. Advances the sequence past the highest stored number, once for all
    /// numbers drawn before.
    pub(in crate::store) async fn draw_instead_of(
        &self,
        taken: BookingId,
        pool: &PgPool,
        guard: &StallGuard,
    ) -> Result<BookingId, StoreError> {
        let mut block = self.0.lock().await;
        let next = block.numbers.last().copied();
        if taken.0 > block.highest || next.is_none_or(|next| next <= block.highest) {
            let advance = AssertSqlSafe(format!(
                "SELECT coalesce(b.highest, 0),
                        CASE WHEN b.highest > nextval(s.name) THEN setval(s.name, b.highest) END
                   FROM (SELECT pg_get_serial_sequence('bookings', 'id')::regclass AS name) AS s,
                        ({HIGHEST_BOOKING}) AS b (highest)"
            ));
            let answer = sqlx::query_as(advance).fetch_one(pool);
            let (highest, _): (i64, Option<i64>) = guard.bound(answer).await?;
            warn!(taken = taken.0, highest, "a drawn booking number is taken; drawing higher ones");
            block.numbers.clear();
            block.highest = highest;
        }
        block.next(pool, guard).await
    }
}

impl Block {
    async fn next(&mut self, pool: &PgPool, guard: &StallGuard) -> Result<BookingId, StoreError> {
        if self.drawn_at.is_some_and(|at| guard.was_suspected_since(at)) {
            self.numbers.clear();
        }
        if self.numbers.is_empty() {
            self.fill(pool, guard).await?;
        }
        let none = || StoreError::Refused(anyhow::anyhow!("the sequence gave no number"));
        self.numbers.pop().map(BookingId).ok_or_else(none)
    }

    async fn fill(&mut self, pool: &PgPool, guard: &StallGuard) -> Result<(), StoreError> {
        let sequence = "SELECT nextval((SELECT pg_get_serial_sequence('bookings', 'id'))::regclass)
                          FROM generate_series(1, $1)";
        let drawn_at = Instant::now();
        let answer = sqlx::query_scalar(sequence).bind(DRAWN).fetch_all(pool);
        self.numbers = guard.bound(answer).await?;
        self.drawn_at = Some(drawn_at);
        self.numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }
}
