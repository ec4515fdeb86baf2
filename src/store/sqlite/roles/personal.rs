//! Personal data in the file.
//!
//! `secure_delete` makes SQLite overwrite deleted values. The writer always uses it where that costs no
//! further page (`FAST`), and for every page while personal data are erased. Two kinds of copies remain:
//! where SQLite splits a page, it leaves moved rows in the page's free space; and pages freed earlier keep
//! their content. Rewriting the file (`VACUUM`) removes both.

use crate::domain::{BookingId, Entry, Timestamp, UserId, WaitlistId};
use crate::store::StoreError;
use crate::store::roles::personal::{
    Departed, DepartedPage, DepartedRow, ERASE_BOOKING_KEYS, ERASE_REQUEST_KEYS, Erasure,
    ErasureRow, FLIGHTS_MAX, HeldBooking, HeldBookingRow, HeldKey, HeldKeyRow, PersonalData,
    ROUTE_OF_NEW_BOOKINGS, Scrub, Scrubbed, is_route_of_booking, placeholder,
};
use crate::store::rows::sql::json;
use crate::store::rows::waitlist::EntryRow;
use crate::store::rows::{micros, read};
use crate::store::sqlite::columns::entry_columns;
use crate::store::sqlite::connection::claim;
use crate::store::sqlite::connection::writer::{Tx, begin};
use crate::store::sqlite::{BUSY_TIMEOUT, SqliteStore};
use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::time::Duration;

/// Maximum size in bytes of a file that is rewritten beside a service. Bookings wait meanwhile, and fail after
/// [`BUSY_TIMEOUT`], so even a slow disk must finish by then.
const REWRITTEN_BESIDE_MAX: u64 = 64 << 20;

/// How long emptying the log waits for readers. Writers wait meanwhile.
const LOG_TIMEOUT: Duration = Duration::from_millis(250);

/// Maximum attempts to empty the log for an operator.
const LOG_ATTEMPTS_MAX: u32 = 40;

/// Settings of the writer's connection.
const OVERWRITE_ALL: &str = "PRAGMA secure_delete = ON";
const OVERWRITE_WHERE_IT_IS_FREE: &str = "PRAGMA secure_delete = FAST";

const ENTRIES_HELD: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM waitlist WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);

/// A walk that was decided on the earlier row is decided again.
const ERASE_ENTRIES: &str = "
UPDATE waitlist SET version = version + 1, updated_at = ?2, passengers = (
           SELECT json_group_array(json(?3)) FROM json_each(waitlist.passengers))
 WHERE user_id = ?1 AND status = 'waiting'
   AND EXISTS (SELECT 1 FROM json_each(waitlist.passengers) AS p WHERE json(p.value) <> json(?3))";

/// A user's keys: of bookings, and of other routes.
const KEYS_HELD: &str = concat!(
    "SELECT route, owner, key, made, created_at FROM (
    SELECT ?5 AS route, user_id AS owner, key, booking_id AS made, created_at
      FROM idempotency_keys WHERE user_id = ?1
     UNION ALL
    SELECT route, owner, key, made, created_at FROM request_keys
     WHERE (owner = ?1 AND owner <> 0) OR (",
    is_route_of_booking!(),
    " AND EXISTS (
           SELECT 1 FROM bookings AS b WHERE b.id = request_keys.made AND b.user_id = ?1)))
 WHERE (route, owner, key) > (?2, ?3, ?4) ORDER BY route, owner, key LIMIT ?6"
);

/// Writes the placeholder once per passenger. The version grows: a commit on the earlier one is stale.
const ERASE_PASSENGERS: &str = "
UPDATE bookings SET erased_at = ?2, version = version + 1,
       booking_metadata = CASE WHEN booking_metadata IS NOT NULL THEN
           '[' || substr(replace(hex(zeroblob(
               seats_booked + coalesce(json_array_length(cancelled_passengers), 0)
           )), '00', ',' || ?3), 2) || ']' END
 WHERE id IN (SELECT value FROM json_each(?1)) AND erased_at IS NULL
RETURNING id";

const DEPARTED_BOOKINGS: &str = "
SELECT f.timestamp, f.id, b.id
  FROM (SELECT id, timestamp FROM flights
         WHERE timestamp <= ?1 AND (timestamp, id) >= (?2, ?3)
         ORDER BY timestamp, id LIMIT ?5) AS f
  LEFT JOIN bookings AS b ON b.flight_id = f.id AND b.erased_at IS NULL AND b.status <> 'pending'
        AND b.created_at <= ?1 AND (f.timestamp, f.id, b.id) > (?2, ?3, ?4)
 ORDER BY f.timestamp, f.id, b.id LIMIT ?6";

#[async_trait]
impl PersonalData for SqliteStore {
    async fn bookings_held(
        &self,
        user: UserId,
        after: BookingId,
        limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError> {
        let rows: Vec<HeldBookingRow> = sqlx::query_as(
            "SELECT id, flight_id, booking_metadata, erased_at FROM bookings
              WHERE user_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )
        .bind(user.0)
        .bind(after.0)
        .bind(limit as i64)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn keys_held(
        &self,
        user: UserId,
        after: Option<&HeldKey>,
        limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError> {
        let rows: Vec<HeldKeyRow> = sqlx::query_as(KEYS_HELD)
            .bind(user.0)
            .bind(after.map_or("", |key| &key.route))
            .bind(after.map_or(i64::MIN, |key| key.owner.0))
            .bind(after.map_or("", |key| &key.key))
            .bind(ROUTE_OF_NEW_BOOKINGS)
            .bind(limit as i64)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn erasures_of(&self, user: UserId, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        let rows: Vec<ErasureRow> = sqlx::query_as(
            "SELECT began_at, ended_at, bookings, keys, kept FROM erasures
              WHERE user_id = ?1 ORDER BY id LIMIT ?2",
        )
        .bind(user.0)
        .bind(limit as i64)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn erase_passengers(
        &self,
        bookings: &[BookingId],
        of: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        let mut writing = self.writer.take().await?;
        overwrite(&mut writing, OVERWRITE_ALL).await?;
        let erased = erase_passengers(&mut writing, bookings, of, now).await;
        // If this is not reached, later writes cost more and leave no more copies.
        overwrite(&mut writing, OVERWRITE_WHERE_IT_IS_FREE).await?;
        self.writer.note(&erased);
        self.named(erased)
    }

    async fn erase_keys(
        &self,
        user: UserId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut writing = self.writer.take().await?;
        overwrite(&mut writing, OVERWRITE_ALL).await?;
        let erased = erase_keys(&mut writing, user, now, limit).await;
        overwrite(&mut writing, OVERWRITE_WHERE_IT_IS_FREE).await?;
        self.writer.note(&erased);
        self.named(erased)
    }

    async fn entries_held(
        &self,
        user: UserId,
        after: WaitlistId,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let page = sqlx::query(ENTRIES_HELD).bind(user.0).bind(after.0).bind(limit as i64);
        let rows = page.fetch_all(&self.reader).await?;
        rows.iter().map(read::<EntryRow, Entry, _>).collect()
    }

    async fn erase_entries(&self, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
        let mut writing = self.writer.take().await?;
        overwrite(&mut writing, OVERWRITE_ALL).await?;
        let erased = erase_entries(&mut writing, user, now).await;
        overwrite(&mut writing, OVERWRITE_WHERE_IT_IS_FREE).await?;
        self.writer.note(&erased);
        self.named(erased)
    }

    async fn end_erasure(
        &self,
        user: UserId,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        sqlx::query(
            "UPDATE erasures SET ended_at = ?2, kept = ?3 WHERE user_id = ?1 AND ended_at IS NULL",
        )
        .bind(user.0)
        .bind(micros(now))
        .bind(kept as i64)
        .execute(&mut *writing)
        .await?;
        Ok(())
    }

    async fn departed_bookings(
        &self,
        until: Timestamp,
        after: Option<Departed>,
        limit: usize,
    ) -> Result<DepartedPage, StoreError> {
        let after = Departed::or_start(after);
        let rows: Vec<DepartedRow> = sqlx::query_as(DEPARTED_BOOKINGS)
            .bind(micros(until))
            .bind(after.at)
            .bind(after.flight)
            .bind(after.booking)
            .bind(FLIGHTS_MAX)
            .bind(limit as i64)
            .fetch_all(&self.reader)
            .await?;
        Ok(DepartedPage::of(&rows, limit))
    }

    /// Uses its own connection, so that the writer is free meanwhile as far as SQLite allows.
    async fn scrub(&self, how: Scrub) -> Result<Scrubbed, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let bytes = self.file.metadata().map_or(u64::MAX, |file| file.len());
        let is_small = bytes <= REWRITTEN_BESIDE_MAX;
        let is_whole = how != Scrub::Log && (is_small || !claim::is_claimed(&self.file));
        if is_whole {
            // Commits of this process wait here and do not contend for the file's lock.
            let _writing = self.writer.take().await?;
            // A small file is sorted in memory, so that no temporary file holds personal data.
            let rewrite = if is_small { "PRAGMA temp_store = memory; VACUUM" } else { "VACUUM" };
            sqlx::raw_sql(rewrite).execute(&mut connection).await?;
        }
        let attempts = if how == Scrub::RewriteAndWait { LOG_ATTEMPTS_MAX } else { 1 };
        let is_empty = empty_log(&mut connection, attempts).await?;
        connection.close().await?;
        Ok(match (is_whole, is_empty) {
            (_, false) => Scrubbed::Neither,
            (true, true) => Scrubbed::Whole,
            (false, true) => Scrubbed::LogAlone,
        })
    }
}

async fn overwrite(writer: &mut SqliteConnection, how: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(how).execute(writer).await?;
    Ok(())
}

async fn erase_passengers(
    writer: &mut SqliteConnection,
    bookings: &[BookingId],
    of: Option<UserId>,
    now: Timestamp,
) -> Result<Vec<BookingId>, StoreError> {
    let mut tx = begin(writer).await?;
    let erased: Vec<i64> = sqlx::query_scalar(ERASE_PASSENGERS)
        .bind(json(&bookings))
        .bind(micros(now))
        .bind(placeholder())
        .fetch_all(&mut *tx)
        .await?;
    sqlx::query(
        "DELETE FROM passenger_changes WHERE booking_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&erased))
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM messages WHERE booking_id IN (SELECT value FROM json_each(?1))")
        .bind(json(&erased))
        .execute(&mut *tx)
        .await?;
    if let Some(user) = of {
        count(&mut tx, user, (erased.len() as i64, 0), now).await?;
    }
    tx.commit().await?;
    Ok(erased.into_iter().map(BookingId).collect())
}

async fn erase_entries(
    writer: &mut SqliteConnection,
    user: UserId,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut tx = begin(writer).await?;
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
    writer: &mut SqliteConnection,
    user: UserId,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut tx = begin(writer).await?;
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
    tx: &mut Tx<'_>,
    user: UserId,
    (bookings, keys): (i64, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    if bookings == 0 && keys == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO erasures (user_id, began_at, bookings, keys) VALUES (?1, ?2, ?3, ?4)
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

/// Folds the log into the file and truncates it. Returns whether it did.
async fn empty_log(connection: &mut SqliteConnection, attempts: u32) -> Result<bool, StoreError> {
    let wait = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {}", LOG_TIMEOUT.as_millis()));
    sqlx::raw_sql(wait).execute(&mut *connection).await?;
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(LOG_TIMEOUT).await;
        }
        let (is_busy, ..): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        if is_busy == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
