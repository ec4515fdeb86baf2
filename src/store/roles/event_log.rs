//! The role for the log of `airline-events` where no Kafka keeps the topic.

use crate::domain::Timestamp;
use crate::messages::Message;
use crate::store::StoreError;
use async_trait::async_trait;

/// Maximum rows in one read of the log, however few messages they hold.
pub(in crate::store) const ROWS_MAX: i64 = 1_024;

/// Keeps published events, each under its offset: their number, from 0.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends messages, in their order, and returns the first one's offset. `now` decides when they are deleted.
    async fn append_events(&self, messages: &[Message], now: Timestamp) -> Result<i64, StoreError>;

    /// The offset of the oldest message that is kept, and the one that the next message gets; both are 0 before the
    /// first message.
    async fn kept_events(&self) -> Result<(i64, i64), StoreError>;

    /// The batches from the one with the message at `from` on: as many as hold `messages`, or just more.
    async fn events(&self, from: i64, messages: usize) -> Result<Vec<LoggedEvents>, StoreError>;

    /// Deletes at most `limit` of the oldest batches that were written before `before`, but never the newest. Returns
    /// how many.
    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}

/// A batch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvents {
    /// The offset of the first message.
    pub first: i64,
    /// The messages.
    pub messages: Vec<Message>,
}

/// The oldest offset, and the one after the newest.
pub(in crate::store) const KEPT: &str = "
SELECT coalesce((SELECT first FROM event_log ORDER BY first LIMIT 1), 0),
       coalesce((SELECT first + messages FROM event_log ORDER BY first DESC LIMIT 1), 0)";

/// The batches from an offset (`$1`) on, up to so many messages (`$2`) and rows (`$3`).
pub(in crate::store) const NEXT: &str = "
SELECT e.first, e.body
  FROM (SELECT first, sum(messages) OVER (ORDER BY first) - messages AS before
          FROM (SELECT first, messages FROM event_log
                 WHERE first >= coalesce((SELECT max(first) FROM event_log WHERE first <= $1), $1)
                 ORDER BY first LIMIT $3) AS oldest) AS counted
  JOIN event_log AS e ON e.first = counted.first
 WHERE counted.before < $2 ORDER BY e.first";

/// Appends messages (`$1`: how many, `$2`: when, `$3`: their JSON) with the next offsets.
macro_rules! append_events {
    ($instant:literal) => {
        concat!(
            "INSERT INTO event_log (first, messages, written_at, body) SELECT coalesce(
               (SELECT first + messages FROM event_log ORDER BY first DESC LIMIT 1), 0), $1, ",
            $instant,
            ", $3 RETURNING first"
        )
    };
}

/// Deletes the oldest batches, written before `$1`, at most `$2`. Reads no row that stays, but for one.
macro_rules! forget_events {
    ($instant:literal) => {
        concat!(
            "DELETE FROM event_log WHERE first IN (
               SELECT first FROM event_log
                WHERE first < coalesce(
                      (SELECT first FROM event_log WHERE written_at >= ",
            $instant,
            " ORDER BY first LIMIT 1),
                      (SELECT max(first) FROM event_log))
                ORDER BY first LIMIT $2)"
        )
    };
}

pub(in crate::store) use {append_events, forget_events};

/// A batch from its columns.
pub(in crate::store) fn logged((first, body): (i64, String)) -> Result<LoggedEvents, StoreError> {
    let (table, column) = ("event_log", "body");
    let messages = serde_json::from_str(&body);
    let messages =
        messages.map_err(|_| StoreError::Corrupt { table, column, row: first.to_string() })?;
    Ok(LoggedEvents { first, messages })
}
