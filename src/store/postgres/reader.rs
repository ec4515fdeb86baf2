//! Where searches read: on a replica of the database (`DB_READ_HOST`) while it answers, else on the
//! primary.

use super::catalogue;
use super::stall_guard::StallGuard;
use crate::domain::{Flight, Timestamp};
use crate::store::StoreError;
use crate::store::unreadable::Unreadable;
use sqlx::PgPool;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// How long a replica has for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a replica that failed is left alone.
const AWAY_FOR: Duration = Duration::from_secs(5);

/// The replica, if there is one, and until when it counts as away.
pub(super) struct Reader {
    replica: Option<PgPool>,
    away_until: Mutex<Option<Instant>>,
}

impl Reader {
    pub(super) fn new(replica: Option<PgPool>) -> Self {
        Self { replica, away_until: Mutex::default() }
    }

    /// The replica's connections.
    pub(super) fn pool(&self) -> Option<&PgPool> {
        self.replica.as_ref()
    }

    /// What the replica finds; `None`: ask the primary. So it is with any error, since a replica may
    /// also be behind the schema.
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
        warn!(error = %format_args!("{error:#}"), "DB_READ_HOST does not serve; the primary does");
        *self.away_until.lock().expect("no holder panics") = Some(Instant::now() + AWAY_FOR);
        None
    }

    fn is_away(&self) -> bool {
        let until = self.away_until.lock().expect("no holder panics");
        until.is_some_and(|until| Instant::now() < until)
    }
}
