//! Messages to travellers.

use crate::domain::{Booking, BookingId, Channel, Timestamp};
use crate::store::roles::messages::{HeldMessageRow, MESSAGES_COUNTED_MAX, Messages};
use crate::store::rows::messages::{
    DROP_MESSAGE, PendingRow, TakenRow, count_messages, ended_changes, messages_held, note_message,
    pending, take_message, taken,
};
use crate::store::rows::sql::json;
use crate::store::rows::{BookingRow, instant, micros};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::columns::booking_columns;
use crate::store::sqlite::connection::writer::begin;
use crate::store::{
    HeldMessage, MessageDone, NewMessage, PendingMessages, StoreError, TakenMessage,
};
use async_trait::async_trait;
use sqlx::SqliteConnection;

macro_rules! as_is {
    ($column:literal) => {
        $column
    };
}

const BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!(),
    " FROM bookings WHERE id IN (SELECT value FROM json_each(?1)) AND replaces IS NULL"
);

const ADD: &str = "
INSERT INTO messages (id, event_id, channel, recipient, booking_id, type, message_id,
                      next_attempt_at, created_at, updated_at)
SELECT n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5,
       n.value ->> 6, ?2, ?2, ?2
  FROM json_each(?1) AS n
  JOIN bookings AS b ON b.id = n.value ->> 4 AND b.erased_at IS NULL
 WHERE true
    ON CONFLICT (event_id, channel, recipient) DO NOTHING";

const TAKE: &str = take_message!("$2", "$3", "", as_is);

const NOTE: &str = note_message!("$3", "$5");

#[async_trait]
impl Messages for SqliteStore {
    async fn bookings_with_passengers(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<Booking>, StoreError> {
        let rows = sqlx::query(BOOKINGS).bind(json(&bookings)).fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<BookingRow, _, _>(&rows))
    }

    async fn ended_changes(&self, of: BookingId) -> Result<Vec<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(ended_changes!(as_is)).bind(of.0);
        let ends: Vec<i64> = query.fetch_all(&self.reader).await?;
        Ok(ends.into_iter().filter_map(instant).collect())
    }

    async fn add_messages(
        &self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let rows: Vec<_> = messages
            .iter()
            .map(|NewMessage { id, event_id, channel, recipient, booking_id, kind, message_id }| {
                (id, event_id, channel, recipient, booking_id, kind, message_id)
            })
            .collect();
        let mut writing = self.writer.take().await?;
        let add = sqlx::query(ADD).bind(json(&rows)).bind(micros(now));
        let added = add.execute(&mut *writing).await.map_err(StoreError::from);
        self.writer.note(&added);
        Ok(self.named(added)?.rows_affected() as usize)
    }

    async fn take_message(
        &self,
        channel: Channel,
        done: Option<&MessageDone>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<TakenMessage>, StoreError> {
        let mut writing = self.writer.take().await?;
        let taken = take(&mut writing, channel, done, (now, until)).await;
        self.writer.note(&taken);
        self.named(taken)
    }

    async fn note_message(&self, done: &MessageDone, now: Timestamp) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let noted = note(&mut writing, done, now).await;
        self.writer.note(&noted);
        self.named(noted)
    }

    async fn drop_message(&self, id: &str) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        sqlx::query(DROP_MESSAGE).bind(id).execute(&mut *writing).await?;
        Ok(())
    }

    async fn count_messages(&self) -> Result<Vec<PendingMessages>, StoreError> {
        let counts = sqlx::query_as(count_messages!(as_is)).bind(MESSAGES_COUNTED_MAX);
        let rows: Vec<PendingRow> = counts.fetch_all(&self.reader).await?;
        rows.into_iter().map(pending).collect()
    }

    async fn messages_held(&self, bookings: &[BookingId]) -> Result<Vec<HeldMessage>, StoreError> {
        let these = messages_held!("IN (SELECT value FROM json_each($1))", as_is);
        let rows: Vec<HeldMessageRow> =
            sqlx::query_as(these).bind(json(&bookings)).fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

async fn note(
    connection: &mut SqliteConnection,
    done: &MessageDone,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (status, due, taken_back) = done.outcome.columns();
    sqlx::query(NOTE)
        .bind(&done.id)
        .bind(status.as_str())
        .bind(due.map(micros))
        .bind(taken_back)
        .bind(micros(now))
        .execute(connection)
        .await?;
    Ok(())
}

async fn take(
    writer: &mut SqliteConnection,
    channel: Channel,
    done: Option<&MessageDone>,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<TakenMessage>, StoreError> {
    let mut tx = begin(writer).await?;
    if let Some(done) = done {
        note(&mut tx, done, now).await?;
    }
    let take = sqlx::query_as(TAKE).bind(channel.as_str()).bind(micros(now)).bind(micros(until));
    let row: Option<TakenRow> = take.fetch_optional(&mut *tx).await?;
    tx.commit().await?;
    row.map(taken).transpose()
}
