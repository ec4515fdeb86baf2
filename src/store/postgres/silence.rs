//! A server that says nothing, as behind a network that lost the way to it.
//!
//! TCP gives such a connection up after a quarter of an hour. Here a call has some seconds; and after
//! one was broken off, connections have to show for a while that they still lead somewhere, so that
//! a pool is not filled with those that don't.

use crate::store::StoreError;
use sqlx::{Connection, PgConnection};
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

/// How long connections are suspected after a long call was broken off.
const SUSPECTED_FOR: Duration = Duration::from_mins(1);

/// Bounds the calls of one store.
#[derive(Default)]
pub(super) struct Silence {
    broken_off: Mutex<Option<Instant>>,
}

impl Silence {
    /// A call's answer; [`StoreError::Unavailable`] if there is none in time.
    pub(super) async fn bound<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // The call ends after what is declared later, so its connection goes back under suspicion.
        let mut call = pin!(call);
        let mut watch = Watch { silence: self, began: Instant::now(), has_answer: false };
        let Ok(answer) = timeout(CALL_TIMEOUT, call.as_mut()).await else {
            return Err(StoreError::Unavailable(anyhow::anyhow!(
                "no answer within {CALL_TIMEOUT:?}"
            )));
        };
        watch.has_answer = true;
        answer
    }

    /// Whether a connection may be used; an error if it does not answer.
    pub(super) async fn clears(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.is_suspected() {
            let answer = timeout(PING_TIMEOUT, connection.ping()).await;
            answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        }
        Ok(true)
    }

    fn is_suspected(&self) -> bool {
        let broken_off = self.broken_off.lock().expect("no holder panics");
        broken_off.is_some_and(|at| at.elapsed() < SUSPECTED_FOR)
    }
}

/// Notes a long call that ends without an answer, be it that its caller went away.
struct Watch<'a> {
    silence: &'a Silence,
    began: Instant,
    has_answer: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.has_answer && self.began.elapsed() >= LONG {
            *self.silence.broken_off.lock().expect("no holder panics") = Some(Instant::now());
        }
    }
}
