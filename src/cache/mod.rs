//! The cache port: when a search's answer is outdated, and answers that replicas share.
//!
//! Each route and day has a generation; a commit that touches its flights ends it. An answer is
//! kept under the generation in which its load began, so a slow reader can never put an old answer
//! in a newer one's place. The search service keeps the in-process layer.

mod counts;
pub mod memory;
mod pending;
pub mod redis;

use crate::domain::{DayKey, Invalidation};
use async_trait::async_trait;
use bytes::Bytes;

/// Names one span of time in which an answer was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// What all replicas call it, or this one alone.
    token: u64,
    /// Whether the token is known to all replicas.
    is_shared: bool,
    /// How often this process ended answers of the key.
    ends: u64,
}

/// The shared cache does not answer; what it was told must be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared cache does not answer")]
pub struct CacheAway;

/// Knows which answers are outdated, and shares good ones with other replicas.
#[async_trait]
pub trait SearchCache: Send + Sync + 'static {
    /// The generation of a route and day now.
    ///
    /// Asked before a load begins, and before a kept answer is given. It knows at once of what this
    /// process ended, and of what others ended within 100 ms.
    async fn current(&self, key: &DayKey) -> Generation;

    /// The answer that a replica kept under this generation, if there is one and it is still good.
    async fn fetch(&self, key: &DayKey, generation: Generation) -> Option<Bytes>;

    /// Shares an answer whose load began under this generation, unless that has ended since.
    async fn keep(&self, key: &DayKey, generation: Generation, answer: &Bytes);

    /// Ends the generations of these routes and days after a commit.
    ///
    /// When it returns, no reader of this process can be given an older answer any more. Others
    /// follow shortly: they are told in the background, so that the commit waits for nobody.
    fn end(&self, keys: &[DayKey]);

    /// Whether others must be told what ended, and again after a crash: then a commit writes it down.
    fn is_told(&self) -> bool;

    /// Ends what is outdated and answers when every replica is bound to notice within 100 ms.
    async fn invalidate_everywhere(&self, outdated: &Invalidation) -> Result<(), CacheAway>;

    /// Tells other replicas what ended here, until stopped from outside.
    async fn run(&self);

    /// Answers if what replicas share does.
    async fn ping(&self) -> Result<(), CacheAway>;
}

fn keys_of(days: &[(String, chrono::NaiveDate)]) -> Vec<DayKey> {
    days.iter().map(|(route, date)| DayKey { route: route.clone(), date: *date }).collect()
}
