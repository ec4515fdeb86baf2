//! The outbox and the invalidations beside it. Rows are written with a commit, read by the relay, and
//! deleted several at a time.

use crate::domain::Invalidation;
use crate::rules::OutboxEvent;
use crate::store::roles::outbox::{self, ROWS_MAX};
use crate::store::rows::micros;
use crate::store::rows::sql::{self, json};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::connection::writer::{Tx, begin};
use crate::store::{Lane, Outbox, OutboxEntry, StoreError};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};

/// Maximum sent rows of a lane that wait to be deleted while there are others to send. A transaction per
/// page would take the one writer from the bookings too often.
const SENT_MAX: usize = 32;

const NEXT: &str = "
SELECT o.id, o.since, o.body
  FROM (SELECT id, sum(messages) OVER (ORDER BY id) - messages AS before
          FROM (SELECT id, messages FROM outbox
                 WHERE lane = $3 AND id > $5
                   AND id NOT IN (SELECT value FROM json_each($4))
                 ORDER BY id LIMIT $2)) AS waiting
  JOIN outbox AS o ON o.id = waiting.id
 WHERE waiting.before < $1 ORDER BY o.id";

const INSERT: &str = "INSERT INTO outbox (lane, messages, since, body) VALUES ($1, $2, $3, $4)";

/// A row to insert.
pub(in crate::store) struct NewRow {
    pub(in crate::store) lane: Lane,
    pub(in crate::store) messages: i64,
    pub(in crate::store) since: i64,
    pub(in crate::store) body: String,
}

impl NewRow {
    /// For each lane the row of its events, if it has any.
    pub(in crate::store) fn of(events: &[OutboxEvent]) -> [Option<Self>; Lane::ALL.len()] {
        OutboxEntry::of(events).map(|entry| {
            let entry = entry?;
            let (messages, since) = (entry.messages.len() as i64, micros(entry.since));
            Some(Self { lane: entry.lane, messages, since, body: entry.body() })
        })
    }
}

/// Appends events to the outbox, in their order.
pub(in crate::store) async fn insert(
    tx: &mut Tx<'_>,
    events: &[OutboxEvent],
) -> Result<(), StoreError> {
    for row in NewRow::of(events).into_iter().flatten() {
        sqlx::query(INSERT)
            .bind(row.lane.as_str())
            .bind(row.messages)
            .bind(row.since)
            .bind(row.body)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Appends an invalidation of cached answers.
pub(in crate::store) async fn insert_invalidation(
    tx: &mut Tx<'_>,
    invalidation: &Invalidation,
) -> Result<(), StoreError> {
    let body = outbox::invalidation_body(invalidation);
    sqlx::query(sql::INSERT_INVALIDATION).bind(body).execute(&mut **tx).await?;
    Ok(())
}

/// Rows whose messages went out, still to be deleted. A crash forgets them, so they go out again.
#[derive(Default)]
pub(in crate::store) struct Sent(Mutex<HashMap<Lane, BTreeSet<i64>>>);

impl Sent {
    /// Adds rows. Returns all of the lane.
    fn add(&self, lane: Lane, ids: &[i64]) -> BTreeSet<i64> {
        let mut lanes = self.0.lock();
        let sent = lanes.entry(lane).or_default();
        sent.extend(ids);
        sent.clone()
    }

    fn remove(&self, lane: Lane, ids: &BTreeSet<i64>) {
        self.0.lock().entry(lane).or_default().retain(|id| !ids.contains(id));
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    /// Never reads a sent row again. Deletes sent rows once no other row waits, or [`SENT_MAX`] have
    /// gathered.
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let sent = self.sent.add(lane, sent);
        let page = |after: i64| {
            sqlx::query_as(NEXT)
                .bind(messages as i64)
                .bind(ROWS_MAX)
                .bind(lane.as_str())
                .bind(json(&sent))
                .bind(after)
                .fetch_all(&self.reader)
        };
        let entries = outbox::readable_entries(&self.unreadable, lane, page).await?;
        if !sent.is_empty() && (entries.is_empty() || sent.len() >= SENT_MAX) {
            let delete = "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each($1))";
            let mut writing = self.writer.take().await?;
            sqlx::query(delete).bind(json(&sent)).execute(&mut *writing).await?;
            self.sent.remove(lane, &sent);
        }
        Ok(entries)
    }

    async fn invalidations(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        let oldest = sqlx::query_as(sql::OLDEST_INVALIDATIONS).bind(limit as i64);
        let rows: Vec<(i64, String)> = oldest.fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(|row| outbox::invalidation(row, &self.unreadable)).collect())
    }

    async fn forget_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let delete = "DELETE FROM outdated_answers WHERE id IN (SELECT value FROM json_each($1))";
        sqlx::query(delete).bind(json(&ids)).execute(&mut *tx).await?;
        if all {
            insert_invalidation(&mut tx, &Invalidation::All).await?;
        }
        Ok(tx.commit().await?)
    }
}
