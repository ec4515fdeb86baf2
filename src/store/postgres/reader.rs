//! Searches read from a replica of the database (`DB_READ_HOST`) while it answers, and from the primary
//! otherwise.

use crate::domain::{Flight, Timestamp};
use crate::store::StoreError;
use crate::store::postgres::connection::stall_guard::StallGuard;
use crate::store::postgres::roles::catalogue;
use crate::store::rows::unreadable::Unreadable;
use parking_lot::Mutex;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// How long a search waits for the replica.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a failed replica is not asked.
const AWAY_FOR: Duration = Duration::from_secs(5);

/// The replica, if one is configured, and until when it is not asked.
pub(super) struct Reader {
    replica: Option<PgPool>,
    away_until: Mutex<Option<Instant>>,
}

impl Reader {
    pub(super) fn new(replica: Option<PgPool>) -> Self {
        Self { replica, away_until: Mutex::default() }
    }

    /// The replica's pool.
    pub(super) fn pool(&self) -> Option<&PgPool> {
        self.replica.as_ref()
    }

    /// The replica's answer; `None` if the primary must be asked. Every error counts, since a replica's
    /// schema may be behind too.
    pub(super) async fn search(
        &self,
        guard: &StallGuard,
        unreadable: &Unreadable,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Option<Vec<Flight>> {
        let replica = self.replica.as_ref().filter(|_| !self.is_away())?;
        let search = guard.bound(catalogue::search(replica, unreadable, route, from, until));
        let error = match timeout(ANSWER_TIMEOUT, search).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(StoreError::Unavailable(cause) | StoreError::Refused(cause))) => cause,
            Ok(Err(corrupt)) => corrupt.into(),
            Err(_) => anyhow::anyhow!("no answer within {ANSWER_TIMEOUT:?}"),
        };
        warn!(error = %format_args!("{error:#}"), "the replica (DB_READ_HOST) failed; searches read from the primary");
        *self.away_until.lock() = Some(Instant::now() + AWAY_FOR);
        None
    }

    fn is_away(&self) -> bool {
        let until = self.away_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }
}
