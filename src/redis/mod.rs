//! One connection to Redis, a single server or a Cluster, that the cache and the locks share.
//!
//! A hung Redis is worse than a dead one. So every call has 50 ms, and after three failures in a row Redis
//! counts as away: calls fail at once, while one task tries once a second whether Redis takes a write again.
//! Correctness does not depend on Redis; without it the service is slower.

mod ask;

use crate::config::RedisSettings;
use crate::telemetry::{Metrics, Panicked, Part};
use futures::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult,
    TlsCertificates, Value,
};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

pub use ask::{Ask, Script, digest_of};

/// Time limit of a call.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);

/// Time limit of connecting. Callers never wait that long.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Number of failures in a row after which Redis counts as away.
const FAILURES_MAX: u32 = 3;

/// How long Redis stays away before it is tried again.
const AWAY_FOR: Duration = Duration::from_secs(1);

/// Maximum number of commands that wait to be written to a connection.
const WAITING_MAX: usize = 1_024;

/// First line of a certificate in PEM.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    /// Time limit of a call.
    answer_within: Duration,
    state: watch::Sender<State>,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Number of connections made.
    connections: AtomicU64,
    /// How often Redis came back.
    returns: AtomicU64,
    metrics: Metrics,
}

enum Target {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
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

#[derive(Clone)]
struct Connection {
    number: u64,
    link: Link,
}

#[derive(Clone)]
enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Why Redis gave no answer. Callers go on without it.
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
        Self::with_patience(settings, metrics, ANSWER_WITHIN)
    }

    /// The same with another time limit than 50 ms, if a slow machine must not count as an outage.
    pub fn with_patience(
        settings: &RedisSettings,
        metrics: Metrics,
        answer_within: Duration,
    ) -> Result<Self, RedisError> {
        let urls = settings.urls.iter().map(crate::config::Secret::expose);
        let authorities = settings.authorities.as_deref().map(certificates).transpose()?;
        let target = if settings.is_cluster {
            let client = ClusterClient::builder(urls)
                .connection_timeout(CONNECT_WITHIN / 2)
                .response_timeout(CONNECT_WITHIN / 2)
                .retries(2)
                .min_retry_wait(5)
                .max_retry_wait(20);
            let client = match authorities {
                Some(authorities) => client.certs(authorities),
                None => client,
            };
            Target::Cluster(Box::new(client.build()?))
        } else {
            let first = urls.into_iter().next().unwrap_or_default();
            let client = match authorities {
                Some(authorities) => Client::build_with_tls(first, authorities)?,
                None => Client::open(first)?,
            };
            Target::Single(Box::new(client))
        };
        let shared = Shared {
            target,
            answer_within,
            state: watch::Sender::new(State::Fresh),
            failures: AtomicU32::new(0),
            connections: AtomicU64::new(0),
            returns: AtomicU64::new(0),
            metrics,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether Redis counts as away.
    pub fn is_away(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Away)
    }

    /// How often Redis came back. Its data may be from before the outage, so readers compare this number
    /// first.
    pub fn returns(&self) -> u64 {
        self.shared.returns.load(Ordering::Acquire)
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
        let deadline = Instant::now() + self.shared.answer_within;
        let connection = tokio::time::timeout_at(deadline, self.connection()).await;
        let mut connection = match connection {
            Ok(Some(connection)) => connection,
            Ok(None) => return failed_all(asks, || RedisFailure::Away),
            Err(_) => {
                self.shared.failed(None, &RedisFailure::Late);
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
        self.shared.judge(connection.number, &replies);
        replies
    }

    /// Connects once, whatever the state; returns why Redis can't be used.
    pub async fn try_out(&self) -> Result<(), RedisFailure> {
        match timeout(CONNECT_WITHIN, self.shared.connect()).await {
            Ok(connected) => Ok(connected.map(drop)?),
            Err(_) => Err(RedisFailure::Late),
        }
    }

    /// The connection; `None` while Redis is away. Waits for the first one, and for one that was lost.
    async fn connection(&self) -> Option<Connection> {
        let mut state = self.shared.state.borrow().clone();
        if matches!(state, State::Fresh | State::Connecting) {
            self.start_connecting();
            let mut states = self.shared.state.subscribe();
            let settled = |state: &State| matches!(state, State::Up(_) | State::Away);
            state = states.wait_for(settled).await.ok()?.clone();
        }
        match state {
            State::Up(connection) => Some(connection),
            State::Fresh | State::Connecting | State::Away => None,
        }
    }

    fn start_connecting(&self) {
        let is_first = self.shared.state.send_if_modified(|state| {
            let is_first = matches!(state, State::Fresh);
            if is_first {
                *state = State::Connecting;
            }
            is_first
        });
        if is_first {
            tokio::spawn(revive(Arc::downgrade(&self.shared), Duration::ZERO));
        }
    }
}

/// The certificate authorities of a PEM file, trusted instead of the system's.
fn certificates(file: &Path) -> RedisResult<TlsCertificates> {
    let failed = |why: String| RedisError::from((ErrorKind::InvalidClientConfig, "REDIS_CA", why));
    let pem =
        std::fs::read(file).map_err(|error| failed(format!("{}: {error}", file.display())))?;
    let begins = pem.windows(PEM.len()).any(|text| text == PEM);
    if !begins {
        return Err(failed(format!("{} has no certificate in PEM", file.display())));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}

/// Connects, as often as it takes; ends with the last [`Redis`].
async fn revive(shared: Weak<Shared>, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let connected = timeout(CONNECT_WITHIN, shared.connect());
        match shared.metrics.catch(Part::Redis, connected).await {
            Ok(Ok(Ok(connection))) => return shared.came_up(connection),
            Ok(Ok(Err(error))) => shared.went_away(&error.into()),
            Ok(Err(_)) | Err(Panicked) => shared.went_away(&RedisFailure::Late),
        }
        pause = AWAY_FOR;
    }
}

impl Shared {
    /// Connects, and checks that Redis takes a write: a replica or a full server does not.
    async fn connect(&self) -> RedisResult<Connection> {
        let link = match &self.target {
            Target::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_WITHIN))
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(WAITING_MAX);
                Link::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Target::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
        };
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
                // Counted before calls go on, since the data may be from before the outage.
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
            self.say_away(why);
        }
    }

    /// Updates the state by a call's replies. One answer proves that Redis is up.
    fn judge(self: &Arc<Self>, number: u64, replies: &[Reply]) {
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
    fn failed(self: &Arc<Self>, number: Option<u64>, why: &RedisFailure) {
        self.metrics.redis_errors.inc();
        if self.is_lost(why) {
            // The server was restarted, or closed an idle connection: connect again at once.
            self.leave(number, State::Connecting, Duration::ZERO);
        } else if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX
            && self.leave(number, State::Away, AWAY_FOR)
        {
            self.say_away(why);
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

    fn say_away(&self, why: &RedisFailure) {
        self.metrics.set_redis_up(false);
        warn!(error = %why, "Redis is away; the service goes on without it");
    }
}

impl Link {
    async fn send(&mut self, wires: &[Cmd], deadline: Instant) -> Vec<Reply> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(wires.len());
                for wire in wires {
                    pipeline.add_command(wire.clone());
                }
                let sent = connection.req_packed_commands(&pipeline, 0, wires.len());
                match tokio::time::timeout_at(deadline, sent).await {
                    Ok(Ok(values)) => values.into_iter().map(checked).collect(),
                    Ok(Err(error)) => wires.iter().map(|_| Err(error.clone().into())).collect(),
                    Err(_) => wires.iter().map(|_| Err(RedisFailure::Late)).collect(),
                }
            }
            Self::Cluster(connection) => {
                let one = |wire| {
                    let mut connection = connection.clone();
                    async move {
                        let sent = connection.req_packed_command(wire);
                        match tokio::time::timeout_at(deadline, sent).await {
                            Ok(answer) => checked(answer?),
                            Err(_) => Err(RedisFailure::Late),
                        }
                    }
                };
                join_all(wires.iter().map(one)).await
            }
        }
    }

    async fn send_one(&mut self, wire: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(wire).await,
            Self::Cluster(connection) => connection.req_packed_command(wire).await,
        }?
        .extract_error()
    }
}

/// Turns an error inside a reply into an error.
fn checked(value: Value) -> Reply {
    Ok(value.extract_error()?)
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Err(RedisFailure::Failed(error)) if error.code() == Some("NOSCRIPT"))
}

fn failed_all(asks: &[Ask], why: impl Fn() -> RedisFailure) -> Vec<Reply> {
    asks.iter().map(|_| Err(why())).collect()
}
