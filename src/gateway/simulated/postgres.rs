//! The simulated gateway's ledger in PostgreSQL, shared by all replicas.

use super::books::{Books, Entry, EntryState, Refunded, first_calls};
use super::challenges::challenge_from_row;
use super::{
    Answer, Call, Challenge, Ledger, Verdict, entry_from_row, foreign_from_rows, refund_from_row,
    refunds_of,
};
use crate::domain::{PaymentReference, RefundId, Timestamp};
use crate::gateway::Opening;
use crate::store::StoreError;
use crate::store::postgres::{PostgresStore, StallGuard, begin};
use async_trait::async_trait;
use sqlx::{PgConnection, PgExecutor, PgPool};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

macro_rules! insert_entries {
    () => {
        "
INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
SELECT reference, major(amount), method, state, instant($5)
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
       AS t (reference, amount, method, state)"
    };
}

const INSERT_ENTRIES: &str = insert_entries!();

/// Inserts nothing if another gateway has taken up one of the payments.
const INSERT_FIRST: &str = concat!(
    insert_entries!(),
    "
 WHERE NOT EXISTS (SELECT 1 FROM payments AS p
                    WHERE p.reference = ANY($1) AND p.gateway <> 'simulated')"
);

/// Payments that another gateway has taken up.
const FOREIGN: &str = "
SELECT reference, gateway FROM payments WHERE reference = ANY($1) AND gateway <> 'simulated'";

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
        let entries = entries_of(&mut tx, calls).await?;
        // Read after the entries are locked: what another replica refunded of them is committed by then.
        let refunds = made_refunds(&mut tx, calls).await?;
        let foreign = foreign(&mut tx, calls).await?;
        let (answers, changes) = Books::new(entries, refunds, foreign).carry_out(calls);
        if changes.is_empty() {
            tx.roll_back().await?;
            return Ok(answers);
        }
        reverse(&mut tx, &changes.reversed, now).await?;
        if !changes.new.is_empty() {
            let new: Vec<_> = changes.new.into_iter().collect();
            insert(&mut *tx, INSERT_ENTRIES, &new, now).await?;
        }
        insert_refunds(&mut tx, &changes.refunds, now).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// The entries of the calls' payments, locked.
async fn entries_of(
    connection: &mut PgConnection,
    calls: &[Call],
) -> Result<HashMap<PaymentReference, Entry>, sqlx::Error> {
    let references: Vec<_> = calls.iter().map(|call| call.reference().to_string()).collect();
    let rows: Vec<(String, Option<i64>, Option<String>, String)> = sqlx::query_as(
        "SELECT reference, minor(amount), method, state FROM gateway_ledger
          WHERE reference = ANY($1) ORDER BY reference FOR UPDATE",
    )
    .bind(references)
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().map(entry_from_row).collect::<Result<_, _>>();
    read.map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))
}

/// The refunds that the calls' refunds are judged by; none are read if no call is one.
async fn made_refunds(
    connection: &mut PgConnection,
    calls: &[Call],
) -> Result<HashMap<RefundId, Refunded>, sqlx::Error> {
    let ids = refunds_of(calls);
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let references: Vec<_> = calls.iter().map(|call| call.reference().to_string()).collect();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT id, reference, minor(amount) FROM gateway_refunds
          WHERE id = ANY($1) OR reference = ANY($2)",
    )
    .bind(ids.iter().map(ToString::to_string).collect::<Vec<_>>())
    .bind(references)
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().map(refund_from_row).collect::<Result<_, _>>();
    read.map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))
}

/// The calls' payments that another gateway has taken up, with its name.
async fn foreign(
    connection: &mut PgConnection,
    calls: &[Call],
) -> Result<HashMap<PaymentReference, String>, sqlx::Error> {
    let references: Vec<_> = calls.iter().map(|call| call.reference().to_string()).collect();
    let rows = sqlx::query_as(FOREIGN).bind(references).fetch_all(connection).await?;
    foreign_from_rows(rows).map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))
}

/// The only change of an entry.
async fn reverse(
    connection: &mut PgConnection,
    payments: &[PaymentReference],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE gateway_ledger SET state = $2, updated_at = instant($3)
          WHERE reference = ANY($1)",
    )
    .bind(payments.iter().map(ToString::to_string).collect::<Vec<_>>())
    .bind(<&str>::from(EntryState::Refunded))
    .bind(now.timestamp_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Fails on the id of a refund that another replica made meanwhile, of another payment. The calls are then
/// decided again.
async fn insert_refunds(
    connection: &mut PgConnection,
    refunds: &BTreeMap<RefundId, Refunded>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO gateway_refunds (id, reference, amount, updated_at)
         SELECT id, reference, major(amount), instant($4)
           FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t (id, reference, amount)",
    )
    .bind(refunds.keys().map(ToString::to_string).collect::<Vec<_>>())
    .bind(refunds.values().map(|refund| refund.reference.to_string()).collect::<Vec<_>>())
    .bind(refunds.values().map(|refund| refund.amount).collect::<Vec<_>>())
    .bind(now.timestamp_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns how many entries the statement inserted. Fails on the key of an entry that another replica wrote
/// meanwhile. The calls are then decided again.
async fn insert(
    connection: impl PgExecutor<'_>,
    statement: &'static str,
    entries: &[(PaymentReference, Entry)],
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query(statement)
        .bind(entries.iter().map(|(reference, _)| reference.to_string()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, entry)| entry.amount).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, entry)| entry.method.as_deref()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, entry)| <&str>::from(entry.state)).collect::<Vec<_>>())
        .bind(now.timestamp_micros())
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected())
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        self.guard.bound(self.write_all(calls, now)).await
    }

    async fn add_challenge(&self, opening: &Opening, now: Timestamp) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO gateway_challenges (reference, amount, currency, method, return_url, updated_at)
             SELECT $1, major($2), $3, $4, $5, instant($6)
              WHERE NOT EXISTS (SELECT 1 FROM payments WHERE reference = $1 AND gateway <> 'simulated')
             ON CONFLICT (reference) DO NOTHING",
        )
        .bind(opening.reference.to_string())
        .bind(opening.amount.stored())
        .bind(opening.currency.to_string())
        .bind(opening.method.as_str())
        .bind(opening.return_url.as_deref())
        .bind(now.timestamp_micros());
        self.guard.bound(added.execute(&self.pool)).await.map(drop)
    }

    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError> {
        let found = sqlx::query_as(
            "SELECT reference, minor(amount), currency, method, return_url, verdict
               FROM gateway_challenges WHERE reference = $1",
        )
        .bind(payment.to_string());
        let row = self.guard.bound(found.fetch_optional(&self.pool)).await?;
        row.map(challenge_from_row).transpose()
    }

    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let noted = sqlx::query(
            "UPDATE gateway_challenges SET verdict = $2, updated_at = instant($3)
              WHERE reference = $1 AND verdict IS NULL",
        )
        .bind(payment.to_string())
        .bind(<&str>::from(verdict))
        .bind(now.timestamp_micros());
        self.guard.bound(noted.execute(&self.pool)).await?;
        self.challenge(payment).await
    }
}

impl PostgresLedger {
    async fn write_all(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        if let Some((entries, answers)) = first_calls(calls) {
            match insert(&self.pool, INSERT_FIRST, &entries, now).await {
                Ok(inserted) if inserted == entries.len() as u64 => return Ok(answers),
                // Some payments are another gateway's.
                Ok(_) => {}
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
