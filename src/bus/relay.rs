//! The relay: drains the outbox into the bus and the cache, oldest first.

use super::{Bus, BusError, Message, Topic};
use crate::cache::Generations;
use crate::domain::DayKey;
use crate::store::{Job, LEASE_INTERVAL, Lease, Outbound, Outdated, Store, StoreError};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// Rows in one step at most.
const BATCH_SIZE_MAX: usize = 1_024;

/// How long the relay sleeps where nobody wakes it: another process may have written.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The pause after a failed step.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Drains the outbox.
pub struct Relay {
    /// Where the outbox is.
    pub store: Arc<dyn Store>,
    /// Where messages go.
    pub bus: Arc<dyn Bus>,
    /// Where outdated answers end.
    pub generations: Arc<dyn Generations>,
    /// Notified after commits.
    pub committed: Arc<Notify>,
    /// Counts what goes out.
    pub metrics: Metrics,
}

/// A step failed; its rows are still there.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The outbox does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Relay {
    /// Steps until stopped from outside, whenever the job is this process'.
    pub async fn run(&self) {
        loop {
            let lease = self.store.wait_for(Job::Relay).await;
            self.run_while(lease).await;
        }
    }

    async fn run_while(&self, mut lease: Box<dyn Lease>) {
        let mut confirmed = Instant::now();
        loop {
            if confirmed.elapsed() >= LEASE_INTERVAL {
                if !lease.is_held().await {
                    return;
                }
                confirmed = Instant::now();
            }
            match self.step().await {
                Ok(0) => {
                    let _ = tokio::time::timeout(POLL_INTERVAL, self.committed.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "the relay could not publish; it tries again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Publishes the oldest rows; says how many.
    ///
    /// Rows are deleted, by id, only after the bus took them. A crash in between sends them twice,
    /// which consumers bear.
    pub async fn step(&self) -> Result<usize, RelayError> {
        let entries = self.store.outbox(BATCH_SIZE_MAX).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let mut messages: Vec<(Topic, Message)> = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.outbound {
                Outbound::Publish(topic, message) => messages.push((topic, message)),
                Outbound::Outdate(Outdated::All) => self.generations.end_all().await,
                Outbound::Outdate(Outdated::Days(days)) => {
                    let keys: Vec<DayKey> =
                        days.into_iter().map(|(route, date)| DayKey { route, date }).collect();
                    self.generations.end(&keys).await;
                }
            }
        }
        self.bus.publish(&messages).await?;
        for (topic, _) in &messages {
            self.metrics.count_published(*topic);
        }
        self.store.delete_from_outbox(&ids).await?;
        Ok(ids.len())
    }
}
