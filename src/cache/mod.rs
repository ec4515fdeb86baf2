//! The cache port: when an answer is outdated, and answers that replicas share.
//!
//! Each route and day has a generation; a commit that touches its flights ends it. An answer is
//! kept under the generation in which its load began, so a slow reader can never put an old answer
//! in a newer one's place. The search service keeps the in-process layer.

pub mod memory;

use crate::domain::DayKey;
use async_trait::async_trait;

/// Names one span of time in which an answer was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u64);

/// Knows the generations of cached answers.
#[async_trait]
pub trait Generations: Send + Sync + 'static {
    /// The generation of a route and day now.
    async fn current(&self, key: &DayKey) -> Generation;

    /// Ends the generations of these routes and days; done when no reader of this process can be
    /// given an answer of theirs any more.
    async fn end(&self, keys: &[DayKey]);

    /// Ends every generation.
    async fn end_all(&self);
}
