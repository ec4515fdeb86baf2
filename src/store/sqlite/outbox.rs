//! The outbox: rows are written with a commit, read by the relay, and deleted some at a time.

use super::SqliteStore;
use super::commit::json;
use super::writer::Tx;
use crate::domain::Invalidation;
use crate::rules::OutboxEvent;
use crate::store::outbox::OutboxRow;
use crate::store::rows::micros;
use crate::store::{Lane, OutboxEntry, StoreError, outbox};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

/// Rows that one look at the outbox takes at most, however few messages they hold.
const ROWS_MAX: i64 = 1_024;

/// Rows of a lane that may wait to be deleted while there are others to send. A transaction for each
/// look would take the one writer from the bookings more often than they do.
const SENT_MAX: usize = 32;

/// A row that is to be inserted.
pub(super) struct NewRow {
    pub(super) lane: Lane,
    pub(super) messages: i64,
    pub(super) since: i64,
    pub(super) body: String,
}

impl NewRow {
    /// For each lane the row that tells of its events, if there are any.
    pub(super) fn of(told: &[OutboxEvent]) -> [Option<Self>; Lane::ALL.len()] {
        OutboxEntry::of(told).map(|entry| {
            let entry = entry?;
            let (messages, since) = (entry.messages.len() as i64, micros(entry.since));
            Some(Self { lane: entry.lane, messages, since, body: entry.body() })
        })
    }
}

pub(super) async fn insert(tx: &mut Tx<'_>, told: &[OutboxEvent]) -> Result<(), StoreError> {
    for row in NewRow::of(told).into_iter().flatten() {
        sqlx::query("INSERT INTO outbox (lane, messages, since, body) VALUES (?1, ?2, ?3, ?4)")
            .bind(row.lane.as_str())
            .bind(row.messages)
            .bind(row.since)
            .bind(row.body)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Appends cached answers that end.
pub(super) async fn insert_invalidation(
    tx: &mut Tx<'_>,
    outdated: &Invalidation,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outdated_answers (body) VALUES (?1)")
        .bind(outbox::invalidation_body(outdated))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Rows whose messages went out, and that are still to be deleted. A crash forgets them: they go out
/// again.
#[derive(Default)]
pub(super) struct Sent(Mutex<HashMap<Lane, BTreeSet<i64>>>);

impl Sent {
    /// Adds rows; gives all of the lane.
    fn add(&self, lane: Lane, ids: &[i64]) -> BTreeSet<i64> {
        let mut lanes = self.lanes();
        let sent = lanes.entry(lane).or_default();
        sent.extend(ids);
        sent.clone()
    }

    fn remove(&self, lane: Lane, ids: &BTreeSet<i64>) {
        self.lanes().entry(lane).or_default().retain(|id| !ids.contains(id));
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, BTreeSet<i64>>> {
        self.0.lock().expect("no holder of the sent rows panics")
    }
}

/// The relay's look: what it sent is never read again, and is deleted once nothing else waits, or it
/// has become much.
pub(super) async fn look(
    store: &SqliteStore,
    lane: Lane,
    newly_sent: &[i64],
    messages: usize,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let sent = store.sent.add(lane, newly_sent);
    let entries = readable_entries(store, lane, &sent, messages).await?;
    if !sent.is_empty() && (entries.is_empty() || sent.len() >= SENT_MAX) {
        let delete = "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?1))";
        let mut writing = store.writer.take().await?;
        sqlx::query(delete).bind(json(&sent)).execute(&mut *writing).await?;
        store.sent.remove(lane, &sent);
    }
    Ok(entries)
}

/// Goes on behind pages of nothing but unreadable rows.
async fn readable_entries(
    store: &SqliteStore,
    lane: Lane,
    sent: &BTreeSet<i64>,
    messages: usize,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut after = i64::MIN;
    loop {
        let rows: Vec<OutboxRow> = sqlx::query_as(
            "SELECT o.id, o.since, o.body
               FROM (SELECT id, sum(messages) OVER (ORDER BY id) - messages AS before
                       FROM (SELECT id, messages FROM outbox
                              WHERE lane = ?3 AND id > ?5
                                AND id NOT IN (SELECT value FROM json_each(?4))
                              ORDER BY id LIMIT ?2)) AS waiting
               JOIN outbox AS o ON o.id = waiting.id
              WHERE waiting.before < ?1 ORDER BY o.id",
        )
        .bind(messages as i64)
        .bind(ROWS_MAX)
        .bind(lane.as_str())
        .bind(json(sent))
        .bind(after)
        .fetch_all(&store.reader)
        .await?;
        let Some((last, ..)) = rows.last() else { return Ok(Vec::new()) };
        after = *last;
        let entries = outbox::entries(&store.unreadable, lane, rows);
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
}
