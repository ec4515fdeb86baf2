//! The relay publishes the outbox on the bus and passes invalidations to the cache, oldest first.

use crate::bus::{Bus, BusError};
use crate::cache::SearchCache;
use crate::clock::pace::Pace;
use crate::domain::Invalidation;
use crate::store::{Job, Lane, Lease, Outbox, StoreError, while_held};
use crate::telemetry::{Metrics, Tracing};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Messages in one turn: rows are added until there are this many.
const BATCH_SIZE_MAX: usize = 2_048;

/// Maximum number of invalidations that wait for the cache; beyond it one of all answers replaces them.
const WAITING_MAX: usize = 512;

/// Minimum time between two turns for requests. Under load a turn then finds more, which costs the database
/// and Kafka less for each message.
const TURN: Duration = Duration::from_millis(3);

/// Minimum time between two turns for facts, for which no booking waits.
const TURN_OF_FACTS: Duration = Duration::from_millis(20);

/// How long a turn for requests waits for a notification: other processes write without one.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Interval between two reads of invalidations.
const END_INTERVAL: Duration = Duration::from_millis(50);

/// The pause after a failed turn.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Publishes the outbox.
pub struct Relay {
    /// Holds the outbox.
    pub store: Arc<dyn Outbox>,
    /// Takes messages.
    pub bus: Arc<dyn Bus>,
    /// Takes invalidations.
    pub cache: Arc<dyn SearchCache>,
    /// Notified after commits.
    pub committed: Arc<Notify>,
    /// Counts messages.
    pub metrics: Metrics,
    /// Traces messages.
    pub tracing: Tracing,
}

/// The messages could not be published. Their rows stay.
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
    /// Runs until dropped, whenever this process holds the lease.
    pub async fn run(&self) {
        loop {
            self.metrics.set_job(Job::Relay.as_str(), false);
            let lease = self.store.wait_for(Job::Relay).await;
            self.metrics.set_job(Job::Relay.as_str(), true);
            self.run_while(lease).await;
        }
    }

    /// Publishes messages and invalidations independently, so that an outage of the bus or of the cache does
    /// not stop the other.
    async fn run_while(&self, lease: Box<dyn Lease>) {
        tokio::select! {
            biased;
            () = while_held(lease) => {}
            () = self.publish_all(Lane::Requests, Pace::of(TURN)) => {}
            () = self.publish_all(Lane::Facts, Pace::of(TURN_OF_FACTS)) => {}
            () = self.end_answers() => {}
        }
    }

    async fn publish_all(&self, lane: Lane, mut pace: Pace) {
        let mut sent = Vec::new();
        loop {
            pace.turn().await;
            match self.publish(lane, &mut sent).await {
                Ok(()) if sent.is_empty() && lane == Lane::Requests => {
                    let woken = self.committed.notified();
                    let _ = tokio::time::timeout(POLL_INTERVAL, woken).await;
                }
                Ok(()) => {}
                Err(error) => {
                    warn!(%error, "publishing the outbox failed, retrying");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Publishes a lane's oldest messages. Their rows are deleted, by id, with the next turn, after the bus took
    /// them. A crash in between sends them twice, which consumers tolerate.
    async fn publish(&self, lane: Lane, sent: &mut Vec<i64>) -> Result<(), RelayError> {
        let entries = self.store.outbox(lane, sent, BATCH_SIZE_MAX).await?;
        sent.clear();
        if entries.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let messages = entries.into_iter().flat_map(|entry| entry.messages).collect();
        if planted!(outbox_deleted_before_it_is_published) {
            sent.clone_from(&ids);
        }
        crate::bus::publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
        *sent = ids;
        Ok(())
    }

    /// Applies the invalidations that commits wrote. The committing process has applied them already unless it
    /// crashed, so nothing waits for this.
    async fn end_answers(&self) {
        loop {
            match self.end_some().await {
                Ok(()) => tokio::time::sleep(END_INTERVAL).await,
                Err(error) => {
                    warn!(%error, "reading invalidations failed, retrying");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Applies some of them. Their rows stay until the cache answers.
    async fn end_some(&self) -> Result<(), StoreError> {
        let rows = self.store.invalidations(WAITING_MAX + 1).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        if self.cache.invalidate_everywhere(&sum(rows)).await.is_ok() {
            self.store.forget_invalidations(&ids, false).await?;
        } else if ids.len() > WAITING_MAX {
            self.store.forget_invalidations(&ids, true).await?;
        }
        Ok(())
    }
}

/// The union of these invalidations.
fn sum(rows: Vec<(i64, Invalidation)>) -> Invalidation {
    let mut days = BTreeSet::new();
    for (_, outdated) in rows {
        match outdated {
            Invalidation::Days(some) => days.extend(some),
            Invalidation::All => return Invalidation::All,
        }
    }
    Invalidation::Days(days.into_iter().collect())
}
