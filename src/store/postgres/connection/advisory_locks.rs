//! Work that one session at a time may do, each behind an advisory lock.

use crate::store::{Job, StoreError};
use sqlx::PgConnection;

/// The first of the two numbers of this service's advisory locks.
pub(in crate::store) const LOCKS: i32 = 0x0061_6972;

/// Work that one session at a time may do: the second number of its advisory lock.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum AdvisoryLock {
    Migrate = 1,
    Import = 2,
    Relay = 3,
    Sweep = 4,
    Serve = 5,
    Webhooks = 6,
}

impl From<Job> for AdvisoryLock {
    fn from(job: Job) -> Self {
        match job {
            Job::Relay => Self::Relay,
            Job::Sweep => Self::Sweep,
            Job::Serve => Self::Serve,
            Job::Webhooks => Self::Webhooks,
        }
    }
}

/// Waits until no other session holds the lock, and holds it to the end of the transaction.
pub(in crate::store) async fn take_lock(
    connection: &mut PgConnection,
    lock: AdvisoryLock,
) -> Result<(), sqlx::Error> {
    let take = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LOCKS).bind(lock as i32);
    take.execute(connection).await?;
    Ok(())
}

/// Lifts the session's limits on time and plans for a transaction that reads or writes whole tables.
pub(in crate::store) async fn for_whole_tables(
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
         SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = on;
         SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a process relays, sweeps, sends to webhooks or serves alone. Takes no lock, so that it delays no start.
pub(in crate::store) async fn is_served(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let held = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks
          WHERE locktype = 'advisory' AND granted AND classid::bigint = $1
            AND objid::bigint = ANY ($2)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    )
    .bind(i64::from(LOCKS))
    .bind(
        [Job::Relay, Job::Sweep, Job::Serve, Job::Webhooks]
            .map(|job| AdvisoryLock::from(job) as i64),
    );
    Ok(held.fetch_one(connection).await?)
}
