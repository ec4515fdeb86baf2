//! One connection to Redis, a single server or a Cluster, that the cache and the locks share.
//!
//! A hung Redis is worse than a dead one. So every call has 50 ms, and after three failures in a row Redis
//! counts as away: calls fail at once, while one task tries once a second whether Redis takes a write again.
//! Correctness does not depend on Redis; without it the service is slower.

mod ask;
mod breaker;
mod link;

use crate::config::RedisSettings;
use crate::telemetry::Metrics;
use breaker::Breaker;
use link::{CONNECT_TIMEOUT, Target};
use redis::{Cmd, RedisError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

pub use ask::{Ask, Script, digest_of};

/// Time limit of a call.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);

/// Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    breaker: Arc<Breaker>,
    /// Time limit of a call.
    answer_timeout: Duration,
}

/// Why Redis gave no answer. Callers continue without it.
#[derive(Debug, thiserror::Error)]
pub enum RedisFailure {
    /// Redis counts as away and was not asked.
    #[error("Redis is away")]
    Away,
    /// Redis did not answer in time; the command may still run.
    #[error("Redis did not answer in time")]
    Late,
    /// The connection or the server failed.
    #[error("Redis failed: {0}")]
    Failed(#[from] RedisError),
}

/// The reply to one command.
pub type Reply = Result<Value, RedisFailure>;

impl Redis {
    /// Redis as the settings name it. Connects at the first call, and again after a loss.
    pub fn new(settings: &RedisSettings, metrics: Metrics) -> Result<Self, RedisError> {
        Self::with_patience(settings, metrics, ANSWER_TIMEOUT)
    }

    /// The same with another time limit than 50 ms, for slow machines.
    pub fn with_patience(
        settings: &RedisSettings,
        metrics: Metrics,
        answer_timeout: Duration,
    ) -> Result<Self, RedisError> {
        let breaker = Arc::new(Breaker::new(Target::of(settings)?, metrics));
        Ok(Self { breaker, answer_timeout })
    }

    /// Whether Redis counts as away.
    pub fn is_away(&self) -> bool {
        self.breaker.is_away()
    }

    /// How often Redis came back. Its data may be from before the outage, so readers compare this number
    /// first.
    pub fn returns(&self) -> u64 {
        self.breaker.returns()
    }

    /// Succeeds if Redis answers; returns the time it took.
    pub async fn ping(&self) -> Result<Duration, RedisFailure> {
        let asked_at = Instant::now();
        self.ask(Ask::of_nothing("PING")).await?;
        Ok(asked_at.elapsed())
    }

    /// Runs one command.
    pub async fn ask(&self, ask: Ask) -> Reply {
        let reply = self.ask_all(std::slice::from_ref(&ask)).await.pop();
        reply.unwrap_or(Err(RedisFailure::Away))
    }

    /// Runs many commands at once; replies in their order.
    ///
    /// A single server gets them as one pipeline; the nodes of a Cluster each get theirs at once.
    pub async fn ask_all(&self, asks: &[Ask]) -> Vec<Reply> {
        if asks.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + self.answer_timeout;
        let mut connection = match timeout_at(deadline, self.breaker.connection()).await {
            Ok(Some(connection)) => connection,
            Ok(None) => return failed_all(asks, || RedisFailure::Away),
            Err(_) => {
                self.breaker.failed(None, &RedisFailure::Late);
                return failed_all(asks, || RedisFailure::Late);
            }
        };
        let wires: Vec<Cmd> = asks.iter().map(|ask| ask.wire(false)).collect();
        let mut replies = connection.link.send(&wires, deadline).await;
        let unknown: Vec<usize> = (0..asks.len())
            .filter(|at| asks[*at].is_script() && is_unknown(&replies[*at]))
            .collect();
        if !unknown.is_empty() {
            let wires: Vec<Cmd> = unknown.iter().map(|at| asks[*at].wire(true)).collect();
            let again = connection.link.send(&wires, deadline).await;
            for (at, reply) in unknown.into_iter().zip(again) {
                replies[at] = reply;
            }
        }
        self.breaker.judge(connection.number, &replies);
        replies
    }

    /// Connects once, whatever the state; returns why Redis can't be used.
    pub async fn try_out(&self) -> Result<(), RedisFailure> {
        match timeout(CONNECT_TIMEOUT, self.breaker.connect()).await {
            Ok(connected) => Ok(connected.map(drop)?),
            Err(_) => Err(RedisFailure::Late),
        }
    }
}

/// Whether the server does not know a script's digest.
fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Err(RedisFailure::Failed(error)) if error.code() == Some("NOSCRIPT"))
}

fn failed_all(asks: &[Ask], why: impl Fn() -> RedisFailure) -> Vec<Reply> {
    asks.iter().map(|_| Err(why())).collect()
}
