//! The relay: drains the outbox into the bus and the cache, oldest first.

use super::{Bus, BusError, Message, Sending, Topic};
use crate::cache::SearchCache;
use crate::domain::Outdated;
use crate::store::{Job, LEASE_INTERVAL, Lease, Outbound, Store, StoreError};
use crate::telemetry::{Metrics, Tracing};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// Rows in one step at most.
const BATCH_SIZE_MAX: usize = 1_024;

/// Invalidations that wait for the cache one by one; beyond it one that ends all answers waits in
/// their place.
const WAITING_MAX: usize = 512;

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
    pub cache: Arc<dyn SearchCache>,
    /// Notified after commits.
    pub committed: Arc<Notify>,
    /// Counts what goes out.
    pub metrics: Metrics,
    /// Follows what goes out.
    pub tracing: Tracing,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Rows that went out.
    pub done: usize,
    /// Rows that wait for the cache to be there again.
    pub waiting: usize,
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
            self.metrics.tell_job(Job::Relay, false);
            let lease = self.store.wait_for(Job::Relay).await;
            self.metrics.tell_job(Job::Relay, true);
            self.run_while(lease).await;
        }
    }

    async fn run_while(&self, mut lease: Box<dyn Lease>) {
        let mut confirmed = Instant::now();
        let mut waiting = 0;
        loop {
            if confirmed.elapsed() >= LEASE_INTERVAL {
                if !lease.is_held().await {
                    return;
                }
                confirmed = Instant::now();
            }
            match self.step(waiting).await {
                Ok(step) => {
                    waiting = step.waiting;
                    if step.done == 0 {
                        let woken = self.committed.notified();
                        let _ = tokio::time::timeout(POLL_INTERVAL, woken).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "the relay could not publish; it tries again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Publishes the oldest rows, besides as many as the last step left waiting.
    ///
    /// Rows are deleted, by id, only after the bus took them. A crash in between sends them twice,
    /// which consumers bear. Invalidations that the cache cannot take wait alone.
    pub async fn step(&self, waiting: usize) -> Result<Step, RelayError> {
        let entries = self.store.outbox(BATCH_SIZE_MAX + waiting).await?;
        let mut done: Vec<i64> = Vec::with_capacity(entries.len());
        let mut messages: Vec<(Topic, Message)> = Vec::with_capacity(entries.len());
        let mut outdated: Vec<(i64, Outdated)> = Vec::new();
        for entry in entries {
            match entry.outbound {
                Outbound::Publish(topic, message) => {
                    messages.push((topic, message));
                    done.push(entry.id);
                }
                Outbound::Outdate(answers) => outdated.push((entry.id, answers)),
            }
        }
        let sending = Sending::begin(&self.tracing, &*self.bus, &mut messages);
        let (ended, published) = tokio::join!(self.end(&outdated), self.bus.publish(&messages));
        sending.end(published)?;
        for (topic, _) in &messages {
            self.metrics.count_published(*topic);
        }
        let invalidations: Vec<i64> = outdated.into_iter().map(|(id, _)| id).collect();
        let mut waiting = 0;
        if ended {
            done.extend(invalidations);
        } else if invalidations.len() > WAITING_MAX {
            self.store.outdate_all_instead(&invalidations).await?;
            waiting = 1;
        } else {
            waiting = invalidations.len();
        }
        if !done.is_empty() {
            self.store.delete_from_outbox(&done).await?;
        }
        Ok(Step { done: done.len(), waiting })
    }

    /// Ends the answers of many rows in one call; says whether the cache took it.
    async fn end(&self, rows: &[(i64, Outdated)]) -> bool {
        let mut days = BTreeSet::new();
        for (_, outdated) in rows {
            match outdated {
                Outdated::Days(some) => days.extend(some.iter().cloned()),
                Outdated::All => return self.cache.end_everywhere(&Outdated::All).await.is_ok(),
            }
        }
        let days = Outdated::Days(days.into_iter().collect());
        rows.is_empty() || self.cache.end_everywhere(&days).await.is_ok()
    }
}
