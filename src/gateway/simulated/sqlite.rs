//! The simulated gateway's ledger in SQLite.

use super::books::{Books, Changes, Entry, EntryState, Refunded, first_calls};
use super::challenges::challenge_from_row;
use super::{
    Answer, Call, Challenge, Ledger, Verdict, entry_from_row, foreign_from_rows, refund_from_row,
    refunds_of,
};
use crate::domain::{PaymentReference, RefundId, Timestamp};
use crate::gateway::Opening;
use crate::store::StoreError;
use crate::store::sqlite::{SqliteStore, Writer, begin, json};
use async_trait::async_trait;
use sqlx::SqliteConnection;
use std::collections::HashMap;

macro_rules! insert_entries {
    () => {
        "
INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2
  FROM jsonb_each(?1)"
    };
}

const INSERT_ENTRIES: &str = insert_entries!();

/// Inserts nothing if another gateway has taken up one of the payments.
const INSERT_FIRST: &str = concat!(
    insert_entries!(),
    "
 WHERE NOT EXISTS (SELECT 1 FROM payments
                    WHERE reference IN (SELECT value ->> 0 FROM jsonb_each(?1))
                      AND gateway <> 'simulated')"
);

/// Payments that another gateway has taken up.
const FOREIGN: &str = "
SELECT reference, gateway FROM payments
 WHERE reference IN (SELECT value FROM json_each(?1)) AND gateway <> 'simulated'";

/// The only change of an entry.
const REVERSE: &str = "
UPDATE gateway_ledger SET state = ?3, updated_at = ?2
 WHERE reference IN (SELECT value FROM json_each(?1))";

const INSERT_REFUNDS: &str = "
INSERT INTO gateway_refunds (id, reference, amount, updated_at)
SELECT value ->> 0, value ->> 1, value ->> 2, ?2
  FROM jsonb_each(?1)";

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

    /// Inserts entries, or none and returns `false` if one of their references exists or is another gateway's.
    async fn write_first(
        &self,
        entries: &[(PaymentReference, Entry)],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut writing = self.writer.take().await?;
        match insert(&mut writing, INSERT_FIRST, entries, now).await {
            Ok(inserted) => Ok(inserted == entries.len() as u64),
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
        let entries = entries_of(&mut tx, calls).await?;
        let refunds = made_refunds(&mut tx, calls).await?;
        let foreign = foreign(&mut tx, calls).await?;
        let (answers, changes) = Books::new(entries, refunds, foreign).carry_out(calls);
        if !changes.is_empty() {
            write_changes(&mut tx, changes, now).await?;
            tx.commit().await?;
        }
        Ok(answers)
    }
}

/// The entries of the calls' payments.
async fn entries_of(
    connection: &mut SqliteConnection,
    calls: &[Call],
) -> Result<HashMap<PaymentReference, Entry>, StoreError> {
    let references: Vec<_> = calls.iter().map(Call::reference).collect();
    let rows: Vec<(String, Option<i64>, Option<String>, String)> = sqlx::query_as(
        "SELECT reference, amount, method, state FROM gateway_ledger
          WHERE reference IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&references))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(entry_from_row).collect()
}

/// The refunds that the calls' refunds are judged by; none are read if no call is one.
async fn made_refunds(
    connection: &mut SqliteConnection,
    calls: &[Call],
) -> Result<HashMap<RefundId, Refunded>, StoreError> {
    let ids = refunds_of(calls);
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let references: Vec<_> = calls.iter().map(Call::reference).collect();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT id, reference, amount FROM gateway_refunds
          WHERE id IN (SELECT value FROM json_each(?1))
             OR reference IN (SELECT value FROM json_each(?2))",
    )
    .bind(json(&ids))
    .bind(json(&references))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(refund_from_row).collect()
}

/// The calls' payments that another gateway has taken up, with its name.
async fn foreign(
    connection: &mut SqliteConnection,
    calls: &[Call],
) -> Result<HashMap<PaymentReference, String>, StoreError> {
    let references: Vec<_> = calls.iter().map(Call::reference).collect();
    let rows = sqlx::query_as(FOREIGN).bind(json(&references)).fetch_all(connection).await?;
    foreign_from_rows(rows)
}

async fn write_changes(
    connection: &mut SqliteConnection,
    changes: Changes,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if !changes.new.is_empty() {
        let new: Vec<_> = changes.new.into_iter().collect();
        insert(connection, INSERT_ENTRIES, &new, now).await?;
    }
    if !changes.reversed.is_empty() {
        sqlx::query(REVERSE)
            .bind(json(&changes.reversed))
            .bind(now.timestamp_micros())
            .bind(<&str>::from(EntryState::Refunded))
            .execute(&mut *connection)
            .await?;
    }
    if !changes.refunds.is_empty() {
        let refunds = changes.refunds.iter();
        let refunds: Vec<_> =
            refunds.map(|(id, refund)| (id, refund.reference, refund.amount)).collect();
        sqlx::query(INSERT_REFUNDS)
            .bind(json(&refunds))
            .bind(now.timestamp_micros())
            .execute(connection)
            .await?;
    }
    Ok(())
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

    async fn add_challenge(&self, opening: &Opening, now: Timestamp) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        sqlx::query(
            "INSERT OR IGNORE INTO gateway_challenges
                    (reference, amount, currency, method, return_url, updated_at)
             SELECT $1, $2, $3, $4, $5, $6
              WHERE NOT EXISTS (SELECT 1 FROM payments WHERE reference = $1 AND gateway <> 'simulated')",
        )
        .bind(opening.reference.to_string())
        .bind(opening.amount.stored())
        .bind(opening.currency.to_string())
        .bind(opening.method.as_str())
        .bind(opening.return_url.as_deref())
        .bind(now.timestamp_micros())
        .execute(&mut *writing)
        .await?;
        Ok(())
    }

    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError> {
        let mut writing = self.writer.take().await?;
        let row = sqlx::query_as(
            "SELECT reference, amount, currency, method, return_url, verdict
               FROM gateway_challenges WHERE reference = $1",
        )
        .bind(payment.to_string())
        .fetch_optional(&mut *writing)
        .await?;
        row.map(challenge_from_row).transpose()
    }

    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        {
            let mut writing = self.writer.take().await?;
            sqlx::query(
                "UPDATE gateway_challenges SET verdict = $2, updated_at = $3
                  WHERE reference = $1 AND verdict IS NULL",
            )
            .bind(payment.to_string())
            .bind(<&str>::from(verdict))
            .bind(now.timestamp_micros())
            .execute(&mut *writing)
            .await?;
        }
        self.challenge(payment).await
    }
}

/// Returns how many entries the statement inserted.
async fn insert(
    connection: &mut SqliteConnection,
    statement: &'static str,
    entries: &[(PaymentReference, Entry)],
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let rows: Vec<_> = entries
        .iter()
        .map(|(reference, entry)| {
            (reference, entry.amount, &entry.method, <&str>::from(entry.state))
        })
        .collect();
    let inserted = sqlx::query(statement)
        .bind(json(&rows))
        .bind(now.timestamp_micros())
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected())
}
