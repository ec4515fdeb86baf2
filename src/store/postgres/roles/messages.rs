//! Messages to travellers.

use crate::domain::{Booking, BookingId, Channel, Timestamp};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::booking_columns;
use crate::store::postgres::connection::transaction::{Transaction, begin};
use crate::store::postgres::sets::column;
use crate::store::roles::messages::{HeldMessageRow, MESSAGES_COUNTED_MAX, Messages};
use crate::store::rows::messages::{
    DROP_MESSAGE, PendingRow, TakenRow, count_messages, ended_changes, messages_held, note_message,
    pending, take_message, taken,
};
use crate::store::rows::{BookingRow, instant, micros};
use crate::store::{
    HeldMessage, MessageDone, NewMessage, PendingMessages, StoreError, TakenMessage,
};
use async_trait::async_trait;
use sqlx::PgPool;

macro_rules! micros_of {
    ($column:literal) => {
        concat!("micros(", $column, ")")
    };
}

const BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!(),
    " FROM bookings WHERE id = ANY($1) AND replaces IS NULL"
);

/// An erasure that runs at the same time may not see a row that is added here; the sender finds it, since it reads the
/// booking again.
const ADD: &str = "
INSERT INTO messages (id, event_id, channel, recipient, booking_id, type, message_id,
                      next_attempt_at, created_at, updated_at)
SELECT n.id, n.event_id, n.channel, n.recipient, n.booking_id, n.type, n.message_id,
       instant($8), instant($8), instant($8)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
       AS n (id, event_id, channel, recipient, booking_id, type, message_id)
  JOIN bookings AS b ON b.id = n.booking_id AND b.erased_at IS NULL
    ON CONFLICT (event_id, channel, recipient) DO NOTHING";

/// The channel's next message. Senders step over the rows that others are taking.
pub(in crate::store::postgres) const TAKE: &str =
    take_message!("instant($2)", "instant($3)", "FOR UPDATE SKIP LOCKED", micros_of);

const NOTE: &str = note_message!("instant($3)", "instant($5)");

#[async_trait]
impl Messages for PostgresStore {
    async fn bookings_with_passengers(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<Booking>, StoreError> {
        let ids: Vec<i64> = bookings.iter().map(|booking| booking.0).collect();
        let query = sqlx::query(BOOKINGS).bind(ids);
        let rows = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<BookingRow, _, _>(&rows))
    }

    async fn ended_changes(&self, of: BookingId) -> Result<Vec<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(ended_changes!(micros_of)).bind(of.0);
        let ends: Vec<i64> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(ends.into_iter().filter_map(instant).collect())
    }

    async fn add_messages(
        &self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let add = sqlx::query(ADD)
            .bind(column(messages, |message| message.id.clone()))
            .bind(column(messages, |message| message.event_id.clone()))
            .bind(column(messages, |message| message.channel.as_str()))
            .bind(column(messages, |message| message.recipient.clone()))
            .bind(column(messages, |message| message.booking_id.0))
            .bind(column(messages, |message| message.kind.as_str()))
            .bind(column(messages, |message| message.message_id.clone()))
            .bind(micros(now));
        let added = self.guard.bound(add.execute(&self.primary)).await?;
        Ok(added.rows_affected() as usize)
    }

    async fn take_message(
        &self,
        channel: Channel,
        done: Option<&MessageDone>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<TakenMessage>, StoreError> {
        self.guard.bound(take(&self.primary, channel, done, (now, until))).await
    }

    async fn note_message(&self, done: &MessageDone, now: Timestamp) -> Result<(), StoreError> {
        let noting = async {
            let mut tx = begin(&self.primary).await?;
            note(&mut tx, done, now).await?;
            tx.commit().await.map_err(StoreError::from)
        };
        self.guard.bound(noting).await
    }

    async fn drop_message(&self, id: &str) -> Result<(), StoreError> {
        let drop = sqlx::query(DROP_MESSAGE).bind(id);
        self.guard.bound(drop.execute(&self.primary)).await.map(|_| ())
    }

    async fn count_messages(&self) -> Result<Vec<PendingMessages>, StoreError> {
        let counts = sqlx::query_as(count_messages!(micros_of)).bind(MESSAGES_COUNTED_MAX);
        let rows: Vec<PendingRow> = self.guard.bound(counts.fetch_all(&self.primary)).await?;
        rows.into_iter().map(pending).collect()
    }

    async fn messages_held(&self, bookings: &[BookingId]) -> Result<Vec<HeldMessage>, StoreError> {
        let ids: Vec<i64> = bookings.iter().map(|booking| booking.0).collect();
        let query = sqlx::query_as(messages_held!("= ANY($1)", micros_of)).bind(ids);
        let rows: Vec<HeldMessageRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

async fn note(tx: &mut Transaction, done: &MessageDone, now: Timestamp) -> Result<(), StoreError> {
    let (status, due, taken_back) = done.outcome.columns();
    sqlx::query(NOTE)
        .bind(&done.id)
        .bind(status.as_str())
        .bind(due.map(micros))
        .bind(taken_back)
        .bind(micros(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn take(
    pool: &PgPool,
    channel: Channel,
    done: Option<&MessageDone>,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<TakenMessage>, StoreError> {
    let mut tx = begin(pool).await?;
    if let Some(done) = done {
        note(&mut tx, done, now).await?;
    }
    let take = sqlx::query_as(TAKE).bind(channel.as_str()).bind(micros(now)).bind(micros(until));
    let row: Option<TakenRow> = take.fetch_optional(&mut *tx).await?;
    tx.commit().await?;
    row.map(taken).transpose()
}
