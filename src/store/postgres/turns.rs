//! What one session at a time may do: turns within a transaction, and jobs for as long as a session
//! lives. Both are advisory locks.

use super::silence::Silence;
use crate::store::{Lease, StoreError};
use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;

/// The advisory locks of this service begin with this number.
pub(super) const LOCKS: i32 = 0x0061_6972;

/// Work that one session at a time may do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Migrate = 1,
    Import = 2,
    Relay = 3,
    Sweep = 4,
    Serve = 5,
}

/// Waits until no other session has this turn; kept to the end of the transaction.
pub(super) async fn take_turn(connection: &mut PgConnection, turn: Turn) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(LOCKS)
        .bind(turn as i32)
        .execute(connection)
        .await?;
    Ok(())
}

/// For the rest of a transaction that reads or writes whole tables, and may take its time.
pub(super) async fn for_whole_tables(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
         SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = on;
         SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A job that this session has: the lock ends with the session.
struct SessionLease {
    connection: PgConnection,
    silence: Arc<Silence>,
}

#[async_trait]
impl Lease for SessionLease {
    async fn is_held(&mut self) -> bool {
        let answer = self.connection.ping();
        self.silence.bound(answer).await.is_ok()
    }
}

/// Takes a job for a session of its own; `None` if another session has it.
pub(super) async fn lease(
    options: &PgConnectOptions,
    silence: &Arc<Silence>,
    turn: Turn,
) -> Result<Option<Box<dyn Lease>>, StoreError> {
    let asked = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(LOCKS)
            .bind(turn as i32)
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, sqlx::Error>(is_ours.then_some(connection))
    };
    let connection = silence.bound(asked).await?;
    let silence = silence.clone();
    Ok(connection
        .map(|connection| Box::new(SessionLease { connection, silence }) as Box<dyn Lease>))
}
