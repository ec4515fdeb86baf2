//! Jobs that one process at a time does: advisory locks of sessions.

use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::advisory_locks::{AdvisoryLock, LOCKS};
use crate::store::postgres::connection::stall_guard::StallGuard;
use crate::store::{Job, Lease, Leases, StoreError};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;

#[async_trait]
impl Leases for PostgresStore {
    /// Takes the lock on its own connection: the lease ends with the session.
    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let asked = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                .bind(LOCKS)
                .bind(AdvisoryLock::from(job) as i32)
                .fetch_one(&mut connection)
                .await?;
            Ok::<_, sqlx::Error>(is_ours.then_some(connection))
        };
        let connection = self.guard.bound(asked).await?;
        let guard = self.guard.clone();
        let lease = connection.map(|connection| SessionLease { connection, guard });
        Ok(lease.map(|lease| Box::new(lease) as Box<dyn Lease>))
    }
}

/// A job that this session holds.
struct SessionLease {
    connection: PgConnection,
    guard: Arc<StallGuard>,
}

#[async_trait]
impl Lease for SessionLease {
    async fn is_held(&mut self) -> bool {
        self.guard.bound(self.connection.ping()).await.is_ok()
    }
}
