//! The relay: drains the outbox into the bus and the cache, oldest first.

use crate::bus::{Bus, BusError};
use crate::cache::SearchCache;
use crate::clock::pace::Pace;
use crate::domain::Invalidation;
use crate::store::{Job, LEASE_INTERVAL, Lane, Lease, Store, StoreError};
use crate::telemetry::{Metrics, Tracing};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Messages in one look at most, and a row's more.
const BATCH_SIZE_MAX: usize = 2_048;

/// Ends of answers that wait for the cache one by one; beyond it the end of all answers waits in
/// their place.
const WAITING_MAX: usize = 512;

/// The least time between two looks for requests: under load each then finds more, and costs the
/// database and Kafka less for each message.
const TURN: Duration = Duration::from_millis(3);

/// The time between two looks for facts, for which no booking waits.
const TURN_OF_FACTS: Duration = Duration::from_millis(20);

/// How long it is not looked for requests if nobody says that there are: another process may have
/// written.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often it is looked which answers end.
const END_INTERVAL: Duration = Duration::from_millis(50);

/// The pause after a failed look.
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

/// The messages could not go out; their rows are still there.
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
    /// Works until stopped from outside, whenever the job is this process'.
    pub async fn run(&self) {
        loop {
            self.metrics.set_job(Job::Relay.as_str(), false);
            let lease = self.store.wait_for(Job::Relay).await;
            self.metrics.set_job(Job::Relay.as_str(), true);
            self.run_while(lease).await;
        }
    }

    /// Neither waits for the other: without the bus answers still end, without the cache messages
    /// still go out.
    async fn run_while(&self, lease: Box<dyn Lease>) {
        tokio::select! {
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
                    warn!(%error, "the relay could not publish; it tries again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Publishes a lane's oldest messages. Rows are deleted, by id, only after the bus took them: with the
    /// next look. A crash in between sends them twice, which consumers bear.
    async fn publish(&self, lane: Lane, sent: &mut Vec<i64>) -> Result<(), RelayError> {
        let entries = self.store.outbox(lane, sent, BATCH_SIZE_MAX).await?;
        sent.clear();
        if entries.is_empty() {
            return Ok(());
        }
        let ids = entries.iter().map(|entry| entry.id).collect();
        let messages = entries.into_iter().flat_map(|entry| entry.messages).collect();
        crate::bus::publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
        *sent = ids;
        Ok(())
    }

    /// Ends the answers that commits wrote down. Who committed has ended them already, unless it
    /// crashed first, so nobody waits for this.
    async fn end_answers(&self) {
        loop {
            match self.end_some().await {
                Ok(()) => tokio::time::sleep(END_INTERVAL).await,
                Err(error) => {
                    warn!(%error, "the relay could not see which answers end; it tries again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Rows that the cache cannot take wait for it to be there again.
    async fn end_some(&self) -> Result<(), StoreError> {
        let rows = self.store.outdated(WAITING_MAX + 1).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        if self.cache.invalidate_everywhere(&sum(rows)).await.is_ok() {
            self.store.forget_outdated(&ids, false).await?;
        } else if ids.len() > WAITING_MAX {
            self.store.forget_outdated(&ids, true).await?;
        }
        Ok(())
    }
}

/// Comes back when the job is another process'.
async fn while_held(mut lease: Box<dyn Lease>) {
    loop {
        tokio::time::sleep(LEASE_INTERVAL).await;
        if !lease.is_held().await {
            return;
        }
    }
}

/// All that these rows end.
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
