//! The cache that replicas share: one hash for each route and day, in Redis.
//!
//! Field `g` is the generation, a random token; `a` the answer; `e` the epoch, which invalidates all
//! answers at once; `r` the server's run id, since a restarted or promoted server may hold invalidated
//! answers. A hash that does not match is replaced, so data that Redis lost or brought back are a miss.
//! Each script uses one key, as a Cluster demands.

use super::counts::InvalidationCounts;
use super::pending::PendingInvalidations;
use super::{CacheAway, Generation, SearchCache, keys_of};
use crate::domain::{DayKey, Invalidation};
use crate::redis::{Ask, Redis, RedisFailure, Script, digest_of};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use bytes::Bytes;
use moka::future::Cache;
use parking_lot::Mutex;
use redis::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long an answer is used without asking Redis whether it is still valid.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// The pause between two flushes of invalidations.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Maximum number of keys kept as checked; beyond it some are checked more often.
const CHECKED_MAX: u64 = 65_536;

/// Maximum number of keys in one call.
const KEYS_MAX: usize = 1_024;

/// Maximum bytes of a shared answer; a larger one stays in its process.
const ANSWER_MAX: usize = 1 << 20;

/// Returns the generation of a key; creates one if there is no valid one.
/// Arguments: a new token, its life in ms (0: without end), the epoch.
static CURRENT: Script = Script::new(CURRENT_TEXT, || digest_of(CURRENT_TEXT));
const CURRENT_TEXT: &str = r"
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local kept = redis.call('HMGET', KEYS[1], 'g', 'r', 'e')
if kept[1] and kept[2] == run and kept[3] == ARGV[3] then return kept[1] end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'r', run, 'e', ARGV[3])
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return ARGV[1]";

/// Returns the answer if the generation is still the key's. Arguments: the token, the epoch.
static FETCH: Script = Script::new(FETCH_TEXT, || digest_of(FETCH_TEXT));
const FETCH_TEXT: &str = r"
local kept = redis.call('HMGET', KEYS[1], 'g', 'r', 'e', 'a')
if kept[1] ~= ARGV[1] or kept[3] ~= ARGV[2] then return false end
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
return kept[2] == run and kept[4]";

/// Stores an answer if its generation is still the key's. Arguments: the token, the answer.
static KEEP: Script = Script::new(KEEP_TEXT, || digest_of(KEEP_TEXT));
const KEEP_TEXT: &str = r"
if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then return 0 end
return redis.call('HSETNX', KEYS[1], 'a', ARGV[2])";

/// The cache in Redis.
pub struct RedisCache {
    redis: Redis,
    prefix: String,
    ttl: Duration,
    metrics: Metrics,
    invalidations: InvalidationCounts,
    pending: PendingInvalidations,
    /// Notified when there are pending invalidations.
    has_pending: Notify,
    /// Generations as read from Redis, each valid in one window.
    checked: Cache<DayKey, Checked>,
    windows: Windows,
}

/// A key's generation in one window.
#[derive(Debug, Clone, Copy)]
struct Checked {
    window: u64,
    token: u64,
    is_shared: bool,
}

/// Windows of up to 100 ms; a key is checked once in each. Readers of an open window share no lock.
struct Windows {
    started: Instant,
    /// Number of the open window; odd if Redis answered when it was opened.
    number: AtomicU64,
    /// When it closes, in ms since the start.
    open_until: AtomicU64,
    opened: Mutex<Opened>,
    /// Locked while a window is opened. How often Redis had come back at the last look.
    opening: tokio::sync::Mutex<u64>,
}

/// A window; without an epoch Redis was away when it was opened.
#[derive(Debug, Clone, Copy)]
struct Opened {
    number: u64,
    epoch: Option<u64>,
}

impl Windows {
    fn new(returns: u64) -> Self {
        Self {
            started: Instant::now(),
            number: AtomicU64::new(0),
            open_until: AtomicU64::new(0),
            opened: Mutex::new(Opened { number: 0, epoch: None }),
            opening: tokio::sync::Mutex::new(returns),
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The number of the open window, if one is.
    fn number(&self) -> Option<u64> {
        let is_open = self.now() < self.open_until.load(Ordering::Acquire);
        is_open.then(|| self.number.load(Ordering::Acquire))
    }

    fn opened(&self) -> Opened {
        *self.opened.lock()
    }

    /// Opens a window, as of the answer to what was asked at `asked_at`.
    fn open(&self, asked_at: u64, epoch: Option<u64>) {
        let mut opened = self.opened.lock();
        let number = (opened.number / 2 + 1) * 2 + u64::from(epoch.is_some());
        *opened = Opened { number, epoch };
        self.number.store(number, Ordering::Release);
        self.open_until.store(asked_at + CHECK_EVERY.as_millis() as u64, Ordering::Release);
    }

    fn close(&self) {
        self.open_until.store(0, Ordering::Release);
    }
}

impl RedisCache {
    /// A cache whose keys begin with `prefix` and whose answers live for up to `ttl`.
    pub fn new(redis: Redis, prefix: &str, ttl: Duration, metrics: Metrics) -> Self {
        let checked = Cache::builder()
            .max_capacity(CHECKED_MAX)
            // An entry is useless after its window; this only frees the memory.
            .time_to_live(10 * CHECK_EVERY)
            .build();
        Self {
            windows: Windows::new(redis.returns()),
            redis,
            prefix: prefix.to_owned(),
            ttl,
            metrics,
            invalidations: InvalidationCounts::default(),
            pending: PendingInvalidations::default(),
            has_pending: Notify::new(),
            checked,
        }
    }

    /// Sends invalidations in one call; returns whether some are left.
    pub async fn flush(&self) -> bool {
        let batch = self.pending.batch(KEYS_MAX);
        let sent = if batch.is_all {
            self.end_epoch().await
        } else {
            self.unlink(batch.keys.iter().map(|(key, _)| key)).await
        };
        if sent.is_ok() {
            self.pending.forget(&batch);
        }
        !self.pending.is_empty()
    }

    fn name(&self, key: &DayKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn epoch_name(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    /// Opens a window, unless another caller just did.
    async fn open_window(&self) {
        let mut returns_seen = self.windows.opening.lock().await;
        if self.windows.number().is_some() {
            return;
        }
        let asked_at = self.windows.now();
        let epoch = self.ask_epoch(&mut returns_seen).await.ok();
        self.windows.open(asked_at, epoch);
    }

    /// The epoch; a new one if Redis was away, since others may have invalidated answers in the meantime
    /// without being able to say so.
    async fn ask_epoch(&self, returns_seen: &mut u64) -> Result<u64, RedisFailure> {
        let returns = self.redis.returns();
        if returns != *returns_seen {
            self.redis.ask(Ask::command("UNLINK", self.epoch_name())).await?;
            *returns_seen = returns;
        }
        self.ask_current(self.epoch_name(), Duration::ZERO, 0).await
    }

    async fn ask_current(
        &self,
        name: String,
        life: Duration,
        epoch: u64,
    ) -> Result<u64, RedisFailure> {
        let ask = Ask::script(&CURRENT, vec![name])
            .with(random_token())
            .with(life.as_millis())
            .with(epoch);
        let token = redis::from_redis_value(self.redis.ask(ask).await?);
        Ok(token.map_err(redis::RedisError::from)?)
    }

    async fn check(&self, key: &DayKey, window: u64, epoch: u64) -> Checked {
        match self.ask_current(self.name(key), self.ttl, epoch).await {
            Ok(token) => Checked { window, token, is_shared: true },
            Err(_) => Checked { window, token: window, is_shared: false },
        }
    }

    async fn unlink(&self, keys: impl Iterator<Item = &DayKey>) -> Result<(), CacheAway> {
        let asks: Vec<_> = keys.map(|key| Ask::command("UNLINK", self.name(key))).collect();
        let replies = self.redis.ask_all(&asks).await;
        if replies.iter().all(Result::is_ok) { Ok(()) } else { Err(CacheAway) }
    }

    /// Invalidates all answers, for this process' readers too.
    async fn end_epoch(&self) -> Result<(), CacheAway> {
        // The lock keeps others from opening a window with the old epoch.
        let _opening = self.windows.opening.lock().await;
        let ended = self.redis.ask(Ask::command("UNLINK", self.epoch_name())).await;
        self.windows.close();
        ended.map(drop).map_err(|_| CacheAway)
    }
}

#[async_trait]
impl SearchCache for RedisCache {
    async fn current(&self, key: &DayKey) -> Generation {
        // Read first, so that a later invalidation makes this generation an old one.
        let invalidations = self.invalidations.of(key);
        if self.windows.number().is_none() {
            self.open_window().await;
        }
        // A window that closed since is still valid: this call began before.
        let window = self.windows.number.load(Ordering::Acquire);
        if window.is_multiple_of(2) {
            return Generation { token: window, is_shared: false, invalidations };
        }
        let checked = match self.checked.get(key).await {
            Some(checked) if checked.window == window => checked,
            _ => {
                let Opened { number, epoch } = self.windows.opened();
                let Some(epoch) = epoch else {
                    return Generation { token: number, is_shared: false, invalidations };
                };
                // One check at a time for each key; concurrent callers share it.
                let check = self.check(key, number, epoch);
                let entry = self.checked.entry_by_ref(key);
                let is_old = |checked: &Checked| checked.window != number;
                entry.or_insert_with_if(check, is_old).await.into_value()
            }
        };
        Generation { token: checked.token, is_shared: checked.is_shared, invalidations }
    }

    async fn fetch(&self, key: &DayKey, generation: Generation) -> Option<Bytes> {
        let epoch = self.windows.opened().epoch?;
        if !generation.is_shared || self.pending.has(key) {
            return None;
        }
        let ask = Ask::script(&FETCH, vec![self.name(key)]).with(generation.token).with(epoch);
        match self.redis.ask(ask).await {
            Ok(Value::BulkString(answer)) => {
                self.metrics.cache_shared_hits.inc();
                Some(answer.into())
            }
            _ => {
                self.metrics.cache_shared_misses.inc();
                None
            }
        }
    }

    async fn keep(&self, key: &DayKey, generation: Generation, answer: &Bytes) {
        if !generation.is_shared || answer.len() > ANSWER_MAX || self.pending.has(key) {
            return;
        }
        let ask = Ask::script(&KEEP, vec![self.name(key)]).with(generation.token);
        // If it is not stored, the next reader loads it.
        let _ = self.redis.ask(ask.with_bytes(answer)).await;
    }

    fn invalidate(&self, keys: &[DayKey]) {
        if keys.is_empty() {
            return;
        }
        // In this order: a reader of the new count also sees that Redis does not know of it yet.
        self.pending.add(keys);
        for key in keys {
            self.invalidations.add(key);
        }
        self.has_pending.notify_one();
    }

    fn needs_outbox(&self) -> bool {
        true
    }

    async fn invalidate_everywhere(&self, what: &Invalidation) -> Result<(), CacheAway> {
        match what {
            Invalidation::All => {
                self.invalidations.add_all();
                self.end_epoch().await
            }
            Invalidation::Days(days) => {
                let keys = keys_of(days);
                for key in &keys {
                    self.invalidations.add(key);
                }
                for part in keys.chunks(KEYS_MAX) {
                    self.unlink(part.iter()).await?;
                }
                Ok(())
            }
        }
    }

    async fn run(&self) {
        loop {
            if !self.flush().await {
                self.has_pending.notified().await;
            }
            tokio::time::sleep(FLUSH_EVERY).await;
        }
    }

    async fn ping(&self) -> Result<(), CacheAway> {
        self.redis.ping().await.map_err(|_| CacheAway).map(|_| ())
    }
}

fn random_token() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
