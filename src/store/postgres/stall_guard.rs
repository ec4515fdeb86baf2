//! A server that says nothing, as behind a network that lost the way to it; and connections that are
//! lost, as all are when it is started again.
//!
//! TCP gives a silent connection up after a quarter of an hour. Here a call has some seconds. After one
//! was broken off, or met a connection that was lost or inside an open transaction, connections have to
//! show for a while that they lead somewhere and are at rest, so that a pool is not filled with others,
//! and no further call meets one.

use super::error::casts_doubt;
use crate::store::StoreError;
use sqlx::{PgConnection, Row};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a call may take: the time to get a connection, a statement's own bound, and the way.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection has to show that it leads somewhere.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a call is out of the ordinary; callers that go away sooner prove nothing.
const LONG: Duration = Duration::from_millis(500);

/// How long connections are suspected after a long call was broken off, or one was lost.
const SUSPECTED_FOR: Duration = Duration::from_mins(1);

/// Bounds the calls of one store, and of the books beside it.
#[derive(Debug, Default)]
pub(crate) struct StallGuard {
    suspected_at: Mutex<Option<Instant>>,
}

impl StallGuard {
    /// A call's answer; [`StoreError::Unavailable`] if there is none in time.
    pub(crate) async fn bound<T, E: Into<StoreError>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        // The call ends after what is declared later, so its connection goes back under suspicion.
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

    /// Whether a connection may be used; an error if it does not answer.
    pub(super) async fn clears(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.is_suspected() {
            let answer = timeout(PING_TIMEOUT, is_at_rest(connection)).await;
            return answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        }
        Ok(true)
    }

    /// Whether a connection was lost since then.
    pub(super) fn was_suspected_since(&self, then: Instant) -> bool {
        let suspected_at = self.suspected_at.lock().expect("no holder panics");
        suspected_at.is_some_and(|at| at >= then)
    }

    fn suspect(&self) {
        *self.suspected_at.lock().expect("no holder panics") = Some(Instant::now());
    }

    fn is_suspected(&self) -> bool {
        let suspected_at = self.suspected_at.lock().expect("no holder panics");
        suspected_at.is_some_and(|at| at.elapsed() < SUSPECTED_FOR)
    }
}

/// Whether the server answers, and no transaction is open. An aborted one is an error.
async fn is_at_rest(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // As a simple query, which begins its own transaction, if there is none, with the statement.
    let statement = sqlx::raw_sql("SELECT now() = statement_timestamp()");
    statement.fetch_one(connection).await?.try_get(0)
}

/// Notes a long call that ends without an answer, be it that its caller went away.
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
