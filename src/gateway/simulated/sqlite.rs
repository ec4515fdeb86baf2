//! The simulated gateway's ledger in SQLite.

use super::{Answer, Call, Entry, Ledger, entry_from_row, first_calls, judge};
use crate::domain::{PaymentReference, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::{SqliteStore, Writer, begin, json};
use async_trait::async_trait;
use sqlx::SqliteConnection;
use std::collections::HashMap;

/// Inserts entries.
macro_rules! insert_entries {
    () => {
        "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2
           FROM jsonb_each(?1)"
    };
}

/// The ledger: its own table, written in its own transactions.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    writer: Writer,
}

impl SqliteLedger {
    /// The ledger in the store's file.
    pub fn of(store: &SqliteStore) -> Self {
        Self { writer: store.writer() }
    }

    /// Inserts entries, or none and returns `false` if one of their references exists.
    async fn write_first(
        &self,
        entries: &[(PaymentReference, Entry)],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut writing = self.writer.take().await?;
        match insert(&mut writing, insert_entries!(), entries, now).await {
            Ok(()) => Ok(true),
            Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_and_write(
        &self,
        calls: &[Call],
        now: Timestamp,
    ) -> Result<Vec<Answer>, StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let references: Vec<_> = calls.iter().map(Call::reference).collect();
        let rows: Vec<(String, Option<i64>, Option<String>, String)> = sqlx::query_as(
            "SELECT reference, amount, method, state FROM gateway_ledger
              WHERE reference IN (SELECT value FROM json_each(?1))",
        )
        .bind(json(&references))
        .fetch_all(&mut *tx)
        .await?;
        let mut entries =
            rows.into_iter().map(entry_from_row).collect::<Result<HashMap<_, _>, _>>()?;

        let mut changed = Vec::new();
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let (next, answer) = judge(entries.get(&call.reference()), call);
            if let Some(next) = next {
                entries.insert(call.reference(), next.clone());
                changed.push((call.reference(), next));
            }
            answers.push(answer);
        }
        if !changed.is_empty() {
            let replace = concat!(
                insert_entries!(),
                " WHERE true ORDER BY key
                     ON CONFLICT (reference) DO UPDATE SET state = excluded.state,
                        updated_at = excluded.updated_at"
            );
            insert(&mut tx, replace, &changed, now).await?;
            tx.commit().await?;
        }
        Ok(answers)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        if let Some((entries, answers)) = first_calls(calls)
            && self.write_first(&entries, now).await?
        {
            return Ok(answers);
        }
        self.read_and_write(calls, now).await
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    statement: &'static str,
    entries: &[(PaymentReference, Entry)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = entries
        .iter()
        .map(|(reference, entry)| {
            (reference, entry.amount, &entry.method, <&str>::from(entry.state))
        })
        .collect();
    sqlx::query(statement)
        .bind(json(&rows))
        .bind(now.timestamp_micros())
        .execute(connection)
        .await?;
    Ok(())
}
