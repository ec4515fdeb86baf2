//! Numbers of bookings, drawn in blocks from the database's sequence.

use super::error::store_error;
use super::silence::Silence;
use crate::domain::BookingId;
use crate::store::StoreError;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Numbers drawn in one round trip; those that a process leaves unused are gaps.
const DRAWN: i32 = 256;

/// What was drawn and is not used yet.
#[derive(Default)]
pub(super) struct Numbers(Mutex<Block>);

#[derive(Default)]
struct Block {
    /// The smallest last.
    numbers: Vec<i64>,
    drawn_at: Option<Instant>,
}

impl Numbers {
    /// The next number. A block is dropped once a connection was lost after it was drawn: a server that
    /// took over from another may give the same numbers to other bookings.
    pub(super) async fn draw(
        &self,
        pool: &PgPool,
        silence: &Silence,
    ) -> Result<BookingId, StoreError> {
        let mut block = self.0.lock().await;
        if block.drawn_at.is_some_and(|at| silence.was_suspected_since(at)) {
            block.numbers.clear();
        }
        if block.numbers.is_empty() {
            let sequence =
                "SELECT nextval((SELECT pg_get_serial_sequence('bookings', 'id'))::regclass)
                              FROM generate_series(1, $1)";
            let drawn_at = Instant::now();
            let answer = sqlx::query_scalar(sequence).bind(DRAWN).fetch_all(pool);
            let answer = async { answer.await.map_err(store_error) };
            block.numbers = silence.bound(answer).await?;
            block.drawn_at = Some(drawn_at);
            block.numbers.sort_unstable_by(|a, b| b.cmp(a));
        }
        let none = || StoreError::Refused(anyhow::anyhow!("the sequence gave no number"));
        block.numbers.pop().map(BookingId).ok_or_else(none)
    }
}
