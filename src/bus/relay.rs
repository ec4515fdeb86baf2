//! The relay: drains the outbox into the bus and the cache, oldest first.

use super::{Bus, BusError};
use crate::cache::SearchCache;
use crate::domain::Outdated;
use crate::store::{Job, LEASE_INTERVAL, Lease, Store, StoreError};
use crate::telemetry::{Metrics, Tracing};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// Messages in one step at most, and a row's more.
const BATCH_SIZE_MAX: usize = 2_048;

/// Ends of answers that wait for the cache one by one; beyond it the end of all answers waits in
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
        loop {
            if confirmed.elapsed() >= LEASE_INTERVAL {
                if !lease.is_held().await {
                    return;
                }
                confirmed = Instant::now();
            }
            match self.step().await {
                Ok(0) => {
                    let woken = self.committed.notified();
                    let _ = tokio::time::timeout(POLL_INTERVAL, woken).await;
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "the relay could not publish; it tries again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Publishes the oldest messages and ends the oldest answers; says how many rows are done with.
    ///
    /// Neither waits for the other: without the bus answers still end, without the cache messages
    /// still go out.
    pub async fn step(&self) -> Result<usize, RelayError> {
        let (published, ended) = tokio::join!(self.publish(), self.end_answers());
        Ok(published? + ended?)
    }

    /// Rows are deleted, by id, only after the bus took them. A crash in between sends them twice,
    /// which consumers bear.
    async fn publish(&self) -> Result<usize, RelayError> {
        let entries = self.store.outbox(BATCH_SIZE_MAX).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let messages = entries.into_iter().flat_map(|entry| entry.messages).collect();
        super::publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
        self.store.delete_from_outbox(&ids).await?;
        Ok(ids.len())
    }

    /// Rows that the cache cannot take wait for it to be there again.
    async fn end_answers(&self) -> Result<usize, RelayError> {
        let rows = self.store.outdated(WAITING_MAX + 1).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        if self.cache.end_everywhere(&sum(rows)).await.is_ok() {
            self.store.forget_outdated(&ids, false).await?;
            return Ok(ids.len());
        }
        if ids.len() > WAITING_MAX {
            self.store.forget_outdated(&ids, true).await?;
        }
        Ok(0)
    }
}

/// All that these rows end.
fn sum(rows: Vec<(i64, Outdated)>) -> Outdated {
    let mut days = BTreeSet::new();
    for (_, outdated) in rows {
        match outdated {
            Outdated::Days(some) => days.extend(some),
            Outdated::All => return Outdated::All,
        }
    }
    Outdated::Days(days.into_iter().collect())
}
