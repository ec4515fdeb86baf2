//! The port of shared rate limits: replicas tell each other what they have admitted. And what may happen once.
//!
//! No request waits for it. Each replica judges by its own table and exchanges in the background; without an
//! answer it goes on alone. `redis` is the only adapter: a process without Redis shares with no other.

mod once;
pub mod redis;

use async_trait::async_trait;
use std::time::Duration;

pub use once::Once;

/// What replicas have admitted together.
#[async_trait]
pub trait SharedLimits: Send + Sync + 'static {
    /// Adds what this replica has admitted, and returns in how much time each budget is whole again, with the
    /// requests that all replicas admitted; `None` if the service is away. What was sent then counts in this
    /// replica alone.
    async fn exchange(&self, limit: &Limit, spent: &[Spent]) -> Option<Vec<Duration>>;
}

/// A limit that replicas share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name, the same in each replica.
    pub name: &'static str,
    /// How long a budget takes to regain one request.
    pub regain: Duration,
    /// Requests at once.
    pub burst: u32,
}

/// What one replica has admitted of a key since its last exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The client, network or user.
    pub key: u64,
    /// Requests since the last exchange.
    pub requests: u16,
    /// In how much time the budget is whole again, as far as this replica knows.
    pub whole_in: Duration,
}
