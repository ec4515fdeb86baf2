//! Personal data in the database. Deleted and overwritten values stay in its pages until `VACUUM`, and in its
//! log and backups until these expire.

use crate::domain::{BookingId, Entry, Timestamp, UserId, WaitlistId};
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::entry_columns;
use crate::store::postgres::connection::transaction::{Transaction, begin};
use crate::store::roles::personal::{
    Departed, DepartedPage, DepartedRow, ERASE_BOOKING_KEYS, ERASE_REQUEST_KEYS, Erasure,
    ErasureRow, FLIGHTS_MAX, HeldBooking, HeldBookingRow, HeldKey, HeldKeyRow, PersonalData,
    ROUTE_OF_NEW_BOOKINGS, Scrub, Scrubbed, is_route_of_booking, placeholder,
};
use crate::store::rows::waitlist::EntryRow;
use crate::store::rows::{micros, read};
use async_trait::async_trait;
use sqlx::PgPool;

/// A user's keys: of bookings, and of other routes. Compared byte by byte, whatever the collation.
const KEYS_HELD: &str = concat!(
    "SELECT route, owner, key, made, micros(created_at) FROM (
    SELECT $5 AS route, user_id AS owner, key, booking_id AS made, created_at
      FROM idempotency_keys WHERE user_id = $1
     UNION ALL
    SELECT route, owner, key, made, created_at FROM request_keys
     WHERE (owner = $1 AND owner <> 0) OR (",
    is_route_of_booking!(),
    " AND EXISTS (
           SELECT 1 FROM bookings AS b WHERE b.id = request_keys.made AND b.user_id = $1))) AS k
 WHERE (route COLLATE \"C\", owner, key COLLATE \"C\") > ($2, $3, $4)
 ORDER BY route COLLATE \"C\", owner, key COLLATE \"C\" LIMIT $6"
);

/// Writes the placeholder once per passenger. The version grows: a commit on the earlier one is stale. Skips locked rows, so that it never waits while it holds locks.
const ERASE_PASSENGERS: &str = "
WITH free AS MATERIALIZED (
    SELECT id FROM bookings WHERE id = ANY ($1) AND erased_at IS NULL
       FOR NO KEY UPDATE SKIP LOCKED)
UPDATE bookings AS b SET erased_at = instant($2), version = b.version + 1,
       booking_metadata = CASE WHEN b.booking_metadata IS NOT NULL THEN
           (SELECT jsonb_agg(CAST($3 AS text)::jsonb) FROM generate_series(
               1, b.seats_booked + coalesce(json_array_length(b.cancelled_passengers::json), 0))) END
  FROM free WHERE b.id = free.id
RETURNING b.id";

const ENTRIES_HELD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM waitlist WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);

/// A walk that was decided on the earlier row is decided again.
const ERASE_ENTRIES: &str = "
UPDATE waitlist SET version = version + 1, updated_at = instant($2), passengers = e.passengers
  FROM (SELECT w.id, (SELECT jsonb_agg(CAST($3 AS text)::jsonb)
                        FROM generate_series(1, w.seats)) AS passengers
          FROM waitlist AS w WHERE w.user_id = $1 AND w.status = 'waiting') AS e
 WHERE e.id = waitlist.id AND waitlist.status = 'waiting'
   AND waitlist.passengers IS DISTINCT FROM e.passengers";

const DEPARTED_BOOKINGS: &str = "
SELECT micros(f.timestamp), f.id, b.id
  FROM (SELECT id, timestamp FROM flights
         WHERE timestamp <= instant($1)
           AND (timestamp, id) >= (coalesce(instant($2), '-infinity'), $3)
         ORDER BY timestamp, id LIMIT $5) AS f
  LEFT JOIN bookings AS b ON b.flight_id = f.id AND b.erased_at IS NULL AND b.status <> 'pending'
        AND b.created_at <= instant($1)
        AND (f.timestamp, f.id, b.id) > (coalesce(instant($2), '-infinity'), $3, $4)
 ORDER BY f.timestamp, f.id, b.id LIMIT $6";

#[async_trait]
impl PersonalData for PostgresStore {
    async fn bookings_held(
        &self,
        user: UserId,
        after: BookingId,
        limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError> {
        let query = sqlx::query_as(
            "SELECT id, flight_id, booking_metadata::text, micros(erased_at) FROM bookings
              WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(user.0)
        .bind(after.0)
        .bind(limit as i64);
        let rows: Vec<HeldBookingRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn keys_held(
        &self,
        user: UserId,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError> {
        let query = sqlx::query_as(KEYS_HELD)
            .bind(user.0)
            .bind(after.map_or("", |key| &key.route))
            .bind(after.map_or(i64::MIN, |key| key.owner.0))
            .bind(after.map_or("", |key| &key.key))
            .bind(ROUTE_OF_NEW_BOOKINGS)
            .bind(limit as i64);
        let rows: Vec<HeldKeyRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn erasures_of(&self, user: UserId, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        let query = sqlx::query_as(
            "SELECT micros(began_at), micros(ended_at), bookings, keys, kept FROM erasures
              WHERE user_id = $1 ORDER BY id LIMIT $2",
        )
        .bind(user.0)
        .bind(limit as i64);
        let rows: Vec<ErasureRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn erase_passengers(
        &self,
        bookings: &[BookingId],
        of: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        self.guard.bound(erase_passengers(&self.primary, bookings, of, now)).await
    }

    async fn erase_keys(
        &self,
        user: UserId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.guard.bound(erase_keys(&self.primary, user, now, limit)).await
    }

    async fn entries_held(
        &self,
        user: UserId,
        after: WaitlistId,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let page = sqlx::query(ENTRIES_HELD).bind(user.0).bind(after.0).bind(limit as i64);
        let rows = self.guard.bound(page.fetch_all(&self.primary)).await?;
        rows.iter().map(read::<EntryRow, Entry, _>).collect()
    }

    async fn erase_entries(&self, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
        self.guard.bound(erase_entries(&self.primary, user, now)).await
    }

    async fn end_erasure(
        &self,
        user: UserId,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE erasures SET ended_at = instant($2), kept = $3
              WHERE user_id = $1 AND ended_at IS NULL",
        )
        .bind(user.0)
        .bind(micros(now))
        .bind(kept as i64);
        self.guard.bound(query.execute(&self.primary)).await.map(|_| ())
    }

    async fn departed_bookings(
        &self,
        until: Timestamp,
        after: Option<Departed>,
        limit: usize,
    ) -> Result<DepartedPage, StoreError> {
        let after = Departed::or_start(after);
        let query = sqlx::query_as(DEPARTED_BOOKINGS)
            .bind(micros(until))
            // No instant stands for "before every departure".
            .bind((after.at != i64::MIN).then_some(after.at))
            .bind(after.flight)
            .bind(after.booking)
            .bind(FLIGHTS_MAX)
            .bind(limit as i64);
        let rows: Vec<DepartedRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(DepartedPage::of(&rows, limit))
    }

    async fn scrub(&self, _how: Scrub) -> Result<Scrubbed, StoreError> {
        Ok(Scrubbed::ByServer)
    }
}

async fn erase_passengers(
    pool: &PgPool,
    bookings: &[BookingId],
    of: Option<UserId>,
    now: Timestamp,
) -> Result<Vec<BookingId>, StoreError> {
    let mut tx = begin(pool).await?;
    let erased: Vec<i64> = sqlx::query_scalar(ERASE_PASSENGERS)
        .bind(bookings.iter().map(|booking| booking.0).collect::<Vec<_>>())
        .bind(micros(now))
        .bind(placeholder())
        .fetch_all(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM passenger_changes WHERE booking_id = ANY($1)")
        .bind(&erased)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM messages WHERE booking_id = ANY($1)")
        .bind(&erased)
        .execute(&mut *tx)
        .await?;
    if let Some(user) = of {
        count(&mut tx, user, (erased.len() as i64, 0), now).await?;
    }
    tx.commit().await?;
    Ok(erased.into_iter().map(BookingId).collect())
}

async fn erase_entries(pool: &PgPool, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
    let mut tx = begin(pool).await?;
    let erased = sqlx::query(ERASE_ENTRIES)
        .bind(user.0)
        .bind(micros(now))
        .bind(placeholder())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    count(&mut tx, user, (erased as i64, 0), now).await?;
    tx.commit().await?;
    Ok(erased as usize)
}

async fn erase_keys(
    pool: &PgPool,
    user: UserId,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut tx = begin(pool).await?;
    let of_bookings = sqlx::query(ERASE_BOOKING_KEYS)
        .bind(user.0)
        .bind(limit as i64)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    let others = sqlx::query(ERASE_REQUEST_KEYS)
        .bind(user.0)
        .bind(limit as i64 - of_bookings as i64)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    let erased = of_bookings + others;
    count(&mut tx, user, (0, erased as i64), now).await?;
    tx.commit().await?;
    Ok(erased as usize)
}

/// Adds bookings and keys to the user's erasure record, which the first of them creates.
async fn count(
    tx: &mut Transaction,
    user: UserId,
    (bookings, keys): (i64, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    if bookings == 0 && keys == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO erasures (user_id, began_at, bookings, keys)
         VALUES ($1, instant($2), $3, $4)
         ON CONFLICT (user_id) WHERE ended_at IS NULL DO UPDATE
            SET bookings = erasures.bookings + excluded.bookings,
                keys = erasures.keys + excluded.keys",
    )
    .bind(user.0)
    .bind(micros(now))
    .bind(bookings)
    .bind(keys)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
