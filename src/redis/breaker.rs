//! The circuit breaker: counts failures, decides when Redis is away, and reconnects in one task.

use super::link::{CONNECT_TIMEOUT, Link, Target};
use super::{RedisFailure, Reply};
use crate::telemetry::{Metrics, Panicked, Part};
use redis::RedisResult;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

/// Failures in a row after which Redis counts as away.
const FAILURES_MAX: u32 = 3;

/// How long Redis stays away before the next attempt to connect.
const AWAY_FOR: Duration = Duration::from_secs(1);

/// What all clones of [`super::Redis`] share.
pub(super) struct Breaker {
    target: Target,
    state: watch::Sender<State>,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Number of connections made.
    connections: AtomicU64,
    /// How often Redis came back.
    returns: AtomicU64,
    metrics: Metrics,
}

/// State of the connection. Unless it is fresh or up, one task connects.
#[derive(Clone)]
enum State {
    /// Not used yet.
    Fresh,
    /// Connecting, without a failure so far: callers wait.
    Connecting,
    /// Redis answers.
    Up(Connection),
    /// Redis does not answer: calls fail at once.
    Away,
}

/// A numbered connection, so that a late failure does not end its successor.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) link: Link,
}

impl Breaker {
    pub(super) fn new(target: Target, metrics: Metrics) -> Self {
        Self {
            target,
            state: watch::Sender::new(State::Fresh),
            failures: AtomicU32::new(0),
            connections: AtomicU64::new(0),
            returns: AtomicU64::new(0),
            metrics,
        }
    }

    /// Whether Redis counts as away.
    pub(super) fn is_away(&self) -> bool {
        matches!(*self.state.borrow(), State::Away)
    }

    /// How often Redis came back.
    pub(super) fn returns(&self) -> u64 {
        self.returns.load(Ordering::Acquire)
    }

    /// The connection; `None` while Redis is away. Waits for the first one, and for one that was lost.
    pub(super) async fn connection(self: &Arc<Self>) -> Option<Connection> {
        let mut state = self.state.borrow().clone();
        if matches!(state, State::Fresh | State::Connecting) {
            self.start_connecting();
            let mut states = self.state.subscribe();
            let settled = |state: &State| matches!(state, State::Up(_) | State::Away);
            state = states.wait_for(settled).await.ok()?.clone();
        }
        match state {
            State::Up(connection) => Some(connection),
            State::Fresh | State::Connecting | State::Away => None,
        }
    }

    fn start_connecting(self: &Arc<Self>) {
        let is_first = self.state.send_if_modified(|state| {
            let is_first = matches!(state, State::Fresh);
            if is_first {
                *state = State::Connecting;
            }
            is_first
        });
        if is_first {
            tokio::spawn(revive(Arc::downgrade(self), Duration::ZERO));
        }
    }

    /// Connects, and checks that Redis takes a write: a replica or a full server does not.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let link = self.target.connect().await?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut connection = Connection { number, link };
        let mut probe = redis::cmd("SET");
        probe.arg("airline-booking:probe").arg(number).arg("PX").arg(1_000);
        connection.link.send_one(&probe).await?;
        Ok(connection)
    }

    fn came_up(&self, connection: Connection) {
        self.failures.store(0, Ordering::Relaxed);
        self.state.send_modify(|state| {
            if matches!(state, State::Away) {
                // Counted before calls resume, since the data may be from before the outage.
                self.returns.fetch_add(1, Ordering::AcqRel);
                info!("Redis is back");
            }
            *state = State::Up(connection);
            self.metrics.set_redis_up(true);
        });
    }

    /// Records that connecting failed.
    fn went_away(&self, why: &RedisFailure) {
        self.metrics.redis_errors.inc();
        let is_news = self.state.send_if_modified(|state| {
            let was = std::mem::replace(state, State::Away);
            !matches!(was, State::Away)
        });
        if is_news {
            self.log_away(why);
        }
    }

    /// Updates the state by a call's replies. One answer proves that Redis is up.
    pub(super) fn judge(self: &Arc<Self>, number: u64, replies: &[Reply]) {
        if replies.iter().any(Result::is_ok) {
            // Reading first keeps the cache line shared between cores.
            if self.failures.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
        }
        let errors = replies.iter().filter_map(|reply| reply.as_ref().err());
        let Some(first) = errors.clone().next() else { return };
        if errors.count() == replies.len() {
            self.failed(Some(number), first);
        } else {
            self.metrics.redis_errors.inc();
        }
    }

    /// Counts a failure of a connection, or of waiting for one.
    pub(super) fn failed(self: &Arc<Self>, number: Option<u64>, why: &RedisFailure) {
        self.metrics.redis_errors.inc();
        if self.is_lost(why) {
            // The server was restarted, or closed an idle connection: connect again at once.
            self.leave(number, State::Connecting, Duration::ZERO);
        } else if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX
            && self.leave(number, State::Away, AWAY_FOR)
        {
            self.log_away(why);
        }
    }

    /// Whether the connection is lost. A Cluster's connection replaces those of its nodes by itself.
    fn is_lost(&self, why: &RedisFailure) -> bool {
        let is_single = matches!(self.target, Target::Single(_));
        matches!(why, RedisFailure::Failed(error) if is_single && error.is_connection_dropped())
    }

    /// Drops the connection of this number, or stops waiting for one; returns whether it was the latest.
    /// One task makes the next.
    fn leave(self: &Arc<Self>, number: Option<u64>, next: State, pause: Duration) -> bool {
        let mut was_up = false;
        let is_left = self.state.send_if_modified(|state| {
            was_up = matches!(state, State::Up(_));
            let is_latest = match state {
                State::Up(connection) => number == Some(connection.number),
                State::Connecting => number.is_none(),
                State::Fresh | State::Away => false,
            };
            if is_latest {
                *state = next;
            }
            is_latest
        });
        if is_left && was_up {
            tokio::spawn(revive(Arc::downgrade(self), pause));
        }
        is_left
    }

    fn log_away(&self, why: &RedisFailure) {
        self.metrics.set_redis_up(false);
        warn!(error = %why, "Redis is away; the service continues without it");
    }
}

/// Connects, as often as it takes. Ends with the last [`super::Redis`].
async fn revive(breaker: Weak<Breaker>, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(breaker) = breaker.upgrade() else { return };
        let connected = timeout(CONNECT_TIMEOUT, breaker.connect());
        match breaker.metrics.catch(Part::Redis, connected).await {
            Ok(Ok(Ok(connection))) => return breaker.came_up(connection),
            Ok(Ok(Err(error))) => breaker.went_away(&error.into()),
            Ok(Err(_)) | Err(Panicked) => breaker.went_away(&RedisFailure::Late),
        }
        pause = AWAY_FOR;
    }
}
