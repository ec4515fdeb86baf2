//! Detects an unresponsive server, e.g. during a network partition, and lost connections, e.g. after the
//! server's restart.
//!
//! TCP drops a silent connection only after a quarter of an hour; here a call has some seconds. After a
//! call was cancelled, or met a connection that was lost or inside an open transaction, the pool checks
//! for a while that each connection answers and has no open transaction, so that no further call gets a
//! broken one.

use super::error::casts_doubt;
use crate::store::StoreError;
use parking_lot::Mutex;
use sqlx::{PgConnection, Row};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time limit of a call: the wait for a connection, the statement's own limit, and the network.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit of a connection's check.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A call that is cancelled after this long suggests a broken connection; earlier cancellations do not.
const LONG: Duration = Duration::from_millis(500);

/// How long connections are checked after a long call was cancelled or a connection was lost.
const SUSPECTED_FOR: Duration = Duration::from_mins(1);

/// Limits the time of a store's calls, and of the gateway's ledger beside it.
#[derive(Debug, Default)]
pub(crate) struct StallGuard {
    suspected_at: Mutex<Option<Instant>>,
}

impl StallGuard {
    /// Runs a call. Fails with [`StoreError::Unavailable`] if it takes longer than [`CALL_TIMEOUT`].
    pub(crate) async fn bound<T, E: Into<StoreError>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        // Dropped after `watch`, so that its connection returns to the pool under suspicion.
        let mut call = pin!(call);
        let mut watch = Watch { guard: self, began: Instant::now(), has_answer: false };
        let Ok(answer) = timeout(CALL_TIMEOUT, call.as_mut()).await else {
            return Err(StoreError::Unavailable(anyhow::anyhow!(
                "no answer within {CALL_TIMEOUT:?}"
            )));
        };
        watch.has_answer = true;
        let answer = answer.map_err(Into::into);
        if answer.as_ref().is_err_and(casts_doubt) {
            self.suspect();
        }
        answer
    }

    /// Whether a connection may be used. Fails if it does not answer.
    pub(super) async fn clears(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.is_suspected() {
            let answer = timeout(PING_TIMEOUT, is_at_rest(connection)).await;
            return answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        }
        Ok(true)
    }

    /// Whether a connection was lost since `then`.
    pub(in crate::store) fn was_suspected_since(&self, then: Instant) -> bool {
        let suspected_at = self.suspected_at.lock();
        suspected_at.is_some_and(|at| at >= then)
    }

    fn suspect(&self) {
        *self.suspected_at.lock() = Some(Instant::now());
    }

    fn is_suspected(&self) -> bool {
        let suspected_at = self.suspected_at.lock();
        suspected_at.is_some_and(|at| at.elapsed() < SUSPECTED_FOR)
    }
}

/// Whether the server answers and no transaction is open. An aborted transaction is an error.
async fn is_at_rest(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // A simple query begins its own transaction with the statement, unless one is open.
    let statement = sqlx::raw_sql("SELECT now() = statement_timestamp()");
    statement.fetch_one(connection).await?.try_get(0)
}

/// Notes a long call that ends without an answer, also when its caller drops it.
struct Watch<'a> {
    guard: &'a StallGuard,
    began: Instant,
    has_answer: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.has_answer && self.began.elapsed() >= LONG {
            self.guard.suspect();
        }
    }
}
