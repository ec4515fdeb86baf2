//! The simulated gateway's books, in SQLite.

use super::{Answer, Call, Ledger, judge, line};
use crate::domain::{Money, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::store_error;
use async_trait::async_trait;
use sqlx::SqlitePool;
use std::collections::HashMap;

/// The books: a table of their own, written in transactions of their own.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    writer: SqlitePool,
}

impl SqliteLedger {
    /// Books that are kept through this writer.
    pub fn new(writer: SqlitePool) -> Self {
        Self { writer }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)?;
        let references: Vec<_> = calls.iter().map(Call::reference).collect();
        let rows: Vec<(String, Option<i64>, Option<String>, String)> = sqlx::query_as(
            "SELECT reference, amount, method, state FROM gateway_ledger
              WHERE reference IN (SELECT value FROM json_each(?1))",
        )
        .bind(json(&references))
        .fetch_all(&mut *tx)
        .await
        .map_err(store_error)?;
        let mut lines = rows.into_iter().map(line).collect::<Result<HashMap<_, _>, _>>()?;

        let mut changed = Vec::new();
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let (next, answer) = judge(lines.get(&call.reference()), call);
            if let Some(next) = next {
                lines.insert(call.reference(), next.clone());
                let amount = next.amount.map(Money::minor);
                changed.push((call.reference(), amount, next.method, next.state.as_str()));
            }
            answers.push(answer);
        }
        if !changed.is_empty() {
            sqlx::query(
                "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2
                   FROM json_each(?1) WHERE true ORDER BY key
                     ON CONFLICT (reference) DO UPDATE SET state = excluded.state,
                        updated_at = excluded.updated_at",
            )
            .bind(json(&changed))
            .bind(now.timestamp_micros())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
            tx.commit().await.map_err(store_error)?;
        }
        Ok(answers)
    }
}

fn json(rows: &impl serde::Serialize) -> String {
    serde_json::to_string(rows).expect("rows of numbers and texts are always JSON")
}
