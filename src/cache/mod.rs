//! The cache port: which answers of searches are valid, and answers that replicas share.
//!
//! Each route and day has a generation, which a commit that touches its flights ends. An answer is kept
//! under the generation in which its load began, so a slow load can never replace a newer answer. `search`
//! keeps the answers of this process.

mod counts;
pub mod memory;
mod pending;
pub mod redis;

use crate::domain::{DayKey, Invalidation};
use async_trait::async_trait;
use bytes::Bytes;

/// A span of time in which an answer of one day is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Token of the generation.
    token: u64,
    /// Whether the token is known to all replicas.
    is_shared: bool,
    /// How often this process has invalidated answers of the key.
    invalidations: u64,
}

impl Generation {
    /// The generation of a token, in a process that has invalidated the key's answers this often.
    pub const fn new(token: u64, is_shared: bool, invalidations: u64) -> Self {
        Self { token, is_shared, invalidations }
    }

    /// Token by which the shared cache knows it.
    pub const fn token(self) -> u64 {
        self.token
    }

    /// Whether the token is known to all replicas.
    pub const fn is_shared(self) -> bool {
        self.is_shared
    }
}

/// The shared cache does not answer. Invalidations must be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared cache does not answer")]
pub struct CacheAway;

/// Knows which answers are valid, and shares them with other replicas.
#[async_trait]
pub trait SearchCache: Send + Sync + 'static {
    /// The current generation of a route and day.
    ///
    /// Asked before a load begins and before a cached answer is sent. It reflects this process'
    /// invalidations at once, and those of others within 100 ms.
    async fn current(&self, key: &DayKey) -> Generation;

    /// The shared answer of this generation, if there is one and the generation is still current.
    async fn fetch(&self, key: &DayKey, generation: Generation) -> Option<Bytes>;

    /// Shares an answer whose load began in this generation, if the generation is still current.
    async fn keep(&self, key: &DayKey, generation: Generation, answer: &Bytes);

    /// Invalidates the answers of these routes and days after a commit.
    ///
    /// Once it returns, no reader of this process gets an older answer. Other replicas are notified in the
    /// background, so that the commit does not wait.
    fn invalidate(&self, keys: &[DayKey]);

    /// Whether other processes must learn of invalidations, also after a crash. If so, commits write them to
    /// the outbox.
    fn needs_outbox(&self) -> bool;

    /// Invalidates answers for all replicas. Once it returns, each of them notices within 100 ms.
    async fn invalidate_everywhere(&self, what: &Invalidation) -> Result<(), CacheAway>;

    /// Notifies other replicas of invalidations, until dropped.
    async fn run(&self);

    /// Succeeds if the shared cache answers.
    async fn ping(&self) -> Result<(), CacheAway>;
}

fn keys_of(days: &[(String, chrono::NaiveDate)]) -> Vec<DayKey> {
    days.iter().map(|(route, date)| DayKey { route: route.clone(), date: *date }).collect()
}
