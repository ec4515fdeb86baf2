//! The simulated gateway's ledger in PostgreSQL, shared by all replicas.

use super::{Answer, Call, Entry, EntryState, Ledger, entry_from_row, first_calls, judge};
use crate::domain::{PaymentReference, Timestamp};
use crate::store::StoreError;
use crate::store::postgres::{PostgresStore, StallGuard, begin};
use async_trait::async_trait;
use sqlx::{PgConnection, PgExecutor, PgPool};
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum repeats after another replica wrote the same reference first.
const RACES_MAX: u32 = 5;

/// The ledger: its own table, written in its own transactions.
#[derive(Debug, Clone)]
pub struct PostgresLedger {
    pool: PgPool,
    guard: Arc<StallGuard>,
}

impl PostgresLedger {
    /// The ledger in the store's database. Its calls have the store's time limits.
    pub fn of(store: &PostgresStore) -> Self {
        let (pool, guard) = store.connections();
        Self { pool, guard }
    }

    async fn try_to_write(
        &self,
        calls: &[Call],
        now: Timestamp,
    ) -> Result<Vec<Answer>, sqlx::Error> {
        let mut tx = begin(&self.pool).await?;
        let references: Vec<_> = calls.iter().map(|call| call.reference().to_string()).collect();
        let rows: Vec<(String, Option<i64>, Option<String>, String)> = sqlx::query_as(
            "SELECT reference, minor(amount), method, state FROM gateway_ledger
              WHERE reference = ANY($1) ORDER BY reference FOR UPDATE",
        )
        .bind(references)
        .fetch_all(&mut *tx)
        .await?;
        let read = rows.into_iter().map(entry_from_row).collect::<Result<HashMap<_, _>, _>>();
        let stored = read.map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))?;

        let mut entries = stored.clone();
        let mut changed: HashMap<PaymentReference, Entry> = HashMap::new();
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let (next, answer) = judge(entries.get(&call.reference()), call);
            if let Some(next) = next {
                entries.insert(call.reference(), next.clone());
                changed.insert(call.reference(), next);
            }
            answers.push(answer);
        }
        if changed.is_empty() {
            tx.roll_back().await?;
            return Ok(answers);
        }
        let (rewritten, new): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|(reference, _)| stored.contains_key(reference));
        refund(&mut tx, &rewritten, now).await?;
        insert(&mut *tx, &new, now).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// The only change of an entry.
async fn refund(
    connection: &mut PgConnection,
    entries: &[(PaymentReference, Entry)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE gateway_ledger SET state = $2, updated_at = instant($3)
          WHERE reference = ANY($1)",
    )
    .bind(entries.iter().map(|(reference, _)| reference.to_string()).collect::<Vec<_>>())
    .bind(<&str>::from(EntryState::Refunded))
    .bind(now.timestamp_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Fails on the key of an entry that another replica wrote meanwhile. The calls are then decided again.
async fn insert(
    connection: impl PgExecutor<'_>,
    entries: &[(PaymentReference, Entry)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
         SELECT reference, major(amount), method, state, instant($5)
           FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
                AS t (reference, amount, method, state)",
    )
    .bind(entries.iter().map(|(reference, _)| reference.to_string()).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, entry)| entry.amount).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, entry)| entry.method.as_deref()).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, entry)| <&str>::from(entry.state)).collect::<Vec<_>>())
    .bind(now.timestamp_micros())
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        self.guard.bound(self.write_all(calls, now)).await
    }
}

impl PostgresLedger {
    async fn write_all(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        if let Some((entries, answers)) = first_calls(calls) {
            match insert(&self.pool, &entries, now).await {
                Ok(()) => return Ok(answers),
                // Some references exist already.
                Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut races = 0;
        loop {
            match self.try_to_write(calls, now).await {
                Err(sqlx::Error::Database(cause))
                    if cause.is_unique_violation() && races < RACES_MAX =>
                {
                    races += 1;
                }
                written => return written.map_err(StoreError::from),
            }
        }
    }
}
