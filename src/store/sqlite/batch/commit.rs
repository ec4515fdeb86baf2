//! A batch's commit: one statement writes it all. Only if that fails, a transaction finds the stale rows,
//! folds the other commands and writes those.

use super::writes::{Writes, exceeded, limits};
use super::{request_keys, seldom};
use crate::domain::{BookingId, FlightId, RefundStatus, UserId, WaitlistId};
use crate::rules::{
    ChangeSet, Claim, IdempotencyRecord, NetChanges, RequestName, RequestRecord, Stale,
};
use crate::store::rows::micros;
use crate::store::rows::request_keys::records;
use crate::store::rows::sql::json;
use crate::store::sqlite::connection::writer::{Tx, Writer, begin};
use crate::store::{Committed, StoreError};
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(in crate::store) async fn commit(
    writer: &Writer,
    changes: &ChangeSet,
) -> Result<Committed, StoreError> {
    // Prepared before the writer is taken, so that other commits have it meanwhile.
    let all = changes.fold(&Stale::default());
    let writes = Writes::of(&all, changes);
    let mut writing = writer.take().await?;
    // Stale rows are rare, and the statement itself fails on them.
    let refused = match write(&mut writing, writes, &all).await {
        Ok(()) => return Ok(Committed::default()),
        Err(refused @ StoreError::Refused(_)) => refused,
        Err(error) => return Err(error),
    };
    // The transaction that finds the stale rows also writes the rest.
    let mut tx = begin(&mut writing).await?;
    let stale = find_stale(&mut tx, &all).await?;
    let rest = changes.fold(&stale);
    if rest.stale == all.stale {
        return Err(refused);
    }
    Writes::of(&rest, changes).write(&mut tx).await?;
    seldom::write(&mut tx, &rest).await?;
    tx.commit().await?;
    Ok(Committed::of(changes, &stale, &Stale::default()))
}

/// Writes everything, or fails with [`StoreError::Refused`] and writes nothing.
async fn write(
    writing: &mut SqliteConnection,
    writes: Writes,
    net: &NetChanges,
) -> Result<(), StoreError> {
    if !seldom::is_in(net) {
        return writes.write(writing).await;
    }
    let mut tx = begin(writing).await?;
    writes.write(&mut tx).await?;
    seldom::write(&mut tx, net).await?;
    Ok(tx.commit().await?)
}

/// Selects the keys of rows that differ in these columns from what they were decided on, or that are missing.
/// `?1` has the key and the columns' values for each row.
macro_rules! changed_rows {
    ($table:literal, $key:literal, $column:literal, $other:literal) => {
        concat!(changed_rows!($table, $key, $column), " OR t.", $other, " IS NOT c.value ->> 2")
    };
    ($table:literal, $key:literal, $column:literal) => {
        concat!(
            "SELECT c.value ->> 0 FROM json_each(?1) AS c LEFT JOIN ",
            $table,
            " AS t ON t.",
            $key,
            " = c.value ->> 0 WHERE t.",
            $column,
            " IS NOT c.value ->> 1"
        )
    };
}

/// The rows that have changed since they were loaded.
async fn find_stale(tx: &mut Tx<'_>, folded: &NetChanges) -> Result<Stale, StoreError> {
    let mut stale = Stale {
        keys: taken_keys(tx, folded).await?,
        requests: taken_requests(tx, folded).await?,
        ..Stale::default()
    };
    let flights: Vec<_> = folded.flights.iter().map(|c| (c.after.id.0, c.was.version)).collect();
    let changed = sqlx::query_scalar(changed_rows!("flights", "id", "version"));
    let rows: Vec<i64> = changed.bind(json(&flights)).fetch_all(&mut **tx).await?;
    stale.flights.extend(rows.into_iter().map(FlightId));

    let bookings: Vec<_> = folded
        .bookings
        .iter()
        .map(|c| (c.after.id.0, c.was.map(|w| w.status.as_str()), c.was.map(|w| w.version)))
        .collect();
    let changed = sqlx::query_scalar(changed_rows!("bookings", "id", "status", "version"));
    let rows: Vec<i64> = changed.bind(json(&bookings)).fetch_all(&mut **tx).await?;
    stale.bookings.extend(rows.into_iter().map(BookingId));

    let payments: Vec<_> = folded
        .payments
        .iter()
        .map(|c| (c.after.reference, c.was.map(|w| w.status.as_str()), c.was.map(|w| w.version)))
        .collect();
    let changed = sqlx::query_scalar(changed_rows!("payments", "reference", "status", "version"));
    let rows: Vec<String> = changed.bind(json(&payments)).fetch_all(&mut **tx).await?;
    for row in rows {
        stale.payments.insert(crate::store::rows::reference(&row)?);
    }

    let refunds: Vec<_> =
        folded.refunds.iter().map(|c| (c.after.id, c.was.map(RefundStatus::as_str))).collect();
    let changed = sqlx::query_scalar(changed_rows!("refunds", "id", "status"));
    let rows: Vec<String> = changed.bind(json(&refunds)).fetch_all(&mut **tx).await?;
    for row in rows {
        stale.refunds.insert(crate::store::rows::refunds::refund_id(&row)?);
    }

    let entries: Vec<_> = folded.entries.iter().map(|c| (c.after.id, c.was)).collect();
    let changed = sqlx::query_scalar(changed_rows!("waitlist", "id", "version"));
    let rows: Vec<i64> = changed.bind(json(&entries)).fetch_all(&mut **tx).await?;
    stale.entries.extend(rows.into_iter().map(WaitlistId));

    let rows: Vec<(i64, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT c.value ->> 0, c.value ->> 1 FROM {}",
        exceeded("?1")
    )))
    .bind(json(&limits(folded)))
    .fetch_all(&mut **tx)
    .await?;
    stale.pending.extend(rows.into_iter().map(|(flight, user)| (FlightId(flight), UserId(user))));
    Ok(stale)
}

/// Idempotency keys that another commit took first. Writing them would replace its records.
async fn taken_keys(
    tx: &mut Tx<'_>,
    folded: &NetChanges,
) -> Result<HashSet<(UserId, Arc<str>)>, StoreError> {
    let keys: Vec<_> = folded
        .idempotency
        .iter()
        .map(|r| (r.user_id, &*r.key, micros(r.created_at - IdempotencyRecord::KEPT_FOR)))
        .collect();
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT k.user_id, k.key FROM json_each(?1) AS c
           JOIN idempotency_keys AS k ON k.user_id = c.value ->> 0 AND k.key = c.value ->> 1
          WHERE k.created_at > c.value ->> 2",
    )
    .bind(json(&keys))
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(user, key)| (UserId(user), key.into())).collect())
}

/// The same for keys of other routes.
async fn taken_requests(
    tx: &mut Tx<'_>,
    folded: &NetChanges,
) -> Result<HashSet<RequestName>, StoreError> {
    let names = folded.requests.iter().map(|record| record.request.name()).collect();
    let known = request_keys::load(tx, &names).await?;
    let known: HashMap<_, _> = records(&names, known).into_iter().collect();
    let is_taken = |record: &&RequestRecord| match known.get(&record.request.name()) {
        Some(Ok(known)) => record.request.meets(Some(known), record.created_at) != Claim::New(()),
        // The next load names the unreadable row.
        Some(Err(_)) => true,
        None => false,
    };
    Ok(folded.requests.iter().filter(is_taken).map(|record| record.request.name()).collect())
}
