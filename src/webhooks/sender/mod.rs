//! The sender: sends the deliveries that are due, to many receivers at once and to each a few at a time.
//!
//! One process sends. What is on its way is known to it alone: a crash sends it again, with the same id.

mod attempt;
mod endpoint;
mod endpoints;

use super::client::Client;
use super::schedule::DISABLE_AFTER;
use crate::clock::Clock;
use crate::domain::WebhookId;
use crate::store::{Attempt, Job, Lease, Store, StoreError, while_held};
use crate::telemetry::Metrics;
use attempt::{Sent, word_of};
use endpoints::Endpoints;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the sender looks for what other processes queued, and what is due again.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long the sender waits for further attempts to end before it notes the first: one statement for all.
const NOTE_AFTER: Duration = Duration::from_millis(10);

/// Maximum attempts noted at once.
const NOTED_MAX: usize = 256;

/// Deliveries of one webhook that are read at once.
const OF_EACH: usize = 64;

/// Interval between two counts of what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Deliveries of disabled webhooks that are ended at once.
const FAILED_MAX: usize = 1_000;

/// The pause after the store failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Sends deliveries.
pub struct Sender {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    client: Arc<Client>,
    /// Notified when something is to be sent.
    due: Arc<Notify>,
    metrics: Metrics,
}

/// What is on its way.
type Running = FuturesUnordered<BoxFuture<'static, Sent>>;

impl Sender {
    /// A sender. Receivers may have private addresses only if `is_private_allowed` (`WEBHOOK_ALLOW_PRIVATE`).
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        is_private_allowed: bool,
        due: Arc<Notify>,
        metrics: Metrics,
    ) -> Self {
        let client = Arc::new(Client::new(is_private_allowed));
        Self { store, clock, client, due, metrics }
    }

    /// Sends whenever this process has the job. After `stop` it ends what is on its way, and returns.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.metrics.set_job(Job::Webhooks.as_str(), false);
            let lease = tokio::select! {
                lease = self.store.wait_for(Job::Webhooks) => lease,
                () = stop.cancelled() => return,
            };
            self.metrics.set_job(Job::Webhooks.as_str(), true);
            self.run_while(lease, stop).await;
            // Another process reports these figures from now on.
            self.metrics.webhooks.set_waiting(0, 0, 0);
            self.metrics.webhooks.set_circuits_open(0);
        }
    }

    /// Ends what waits for disabled webhooks, in steps between which others write.
    async fn fail_rest(&self) -> Result<(), StoreError> {
        while self.store.fail_deliveries(FAILED_MAX).await? >= FAILED_MAX {}
        Ok(())
    }

    async fn run_while(&self, lease: Box<dyn Lease>, stop: &CancellationToken) {
        let mut round = Round {
            sender: self,
            endpoints: Endpoints::new(&self.metrics),
            running: Running::default(),
            ended: Vec::new(),
            counted_at: None,
        };
        let held = while_held(lease);
        tokio::pin!(held);
        loop {
            let turn = round.turn(!stop.is_cancelled());
            tokio::select! {
                biased;
                // Another process sends now; what is on its way here may arrive twice.
                () = &mut held => return,
                turned = turn => if let Err(error) = turned {
                    warn!(%error, "sending to webhooks failed, retrying");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
            if stop.is_cancelled() && round.is_idle() {
                return;
            }
        }
    }
}

/// The work of a process that has the job.
struct Round<'a> {
    sender: &'a Sender,
    endpoints: Endpoints,
    running: Running,
    /// Attempts that ended and are not noted.
    ended: Vec<Attempt>,
    counted_at: Option<Instant>,
}

impl Round<'_> {
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    /// Reads what is due and starts it, unless the process stops; waits for attempts to end, and notes them.
    async fn turn(&mut self, may_start: bool) -> Result<(), StoreError> {
        self.note().await?;
        if may_start {
            self.refill().await?;
            self.start();
            self.count_if_due().await?;
        }
        self.wait(may_start).await;
        Ok(())
    }

    /// Reads what is due of webhooks with too little at hand.
    async fn refill(&mut self) -> Result<(), StoreError> {
        let Sender { store, clock, .. } = self.sender;
        let due = store.due_deliveries(clock.now(), &self.endpoints.busy(), OF_EACH).await?;
        let due: Vec<_> = due.into_iter().filter(|its| !self.endpoints.knows(its)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<WebhookId> = due.iter().map(|delivery| delivery.webhook).collect();
        ids.sort_unstable();
        ids.dedup();
        let webhooks = store.webhooks_named(&ids).await?;
        self.endpoints.add(webhooks, due);
        Ok(())
    }

    /// Starts attempts while there is room.
    fn start(&mut self) {
        while let Some(next) = self.endpoints.next() {
            let (client, clock) = (self.sender.client.clone(), self.sender.clock.clone());
            let seconds = self.sender.metrics.webhooks.seconds.clone();
            self.running.push(Box::pin(attempt::send(next, client, clock, seconds)));
        }
    }

    /// Waits until attempts have ended, or there may be something to start.
    async fn wait(&mut self, may_start: bool) {
        let first = tokio::select! {
            Some(sent) = self.running.next() => sent,
            () = self.sender.due.notified(), if may_start => return,
            () = tokio::time::sleep(POLL_INTERVAL) => return,
        };
        self.end(&first);
        let until = Instant::now() + NOTE_AFTER;
        while self.ended.len() < NOTED_MAX {
            self.start_if(may_start);
            match timeout_at(until, self.running.next()).await {
                Ok(Some(sent)) => self.end(&sent),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn start_if(&mut self, may_start: bool) {
        if may_start {
            self.start();
        }
    }

    fn end(&mut self, sent: &Sent) {
        let now = self.sender.clock.now();
        if let Some(attempt) = self.endpoints.end(sent, now) {
            self.sender.metrics.webhooks.count(word_of(attempt.outcome));
            self.ended.push(attempt);
        }
    }

    /// Notes attempts that ended. Those of a store that does not answer stay, and are noted later.
    async fn note(&mut self) -> Result<(), StoreError> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let Sender { store, clock, metrics, .. } = self.sender;
        let now = clock.now();
        let noted = store.note_attempts(&self.ended, now, now - DISABLE_AFTER).await;
        if matches!(noted, Err(StoreError::Unavailable(_) | StoreError::TimedOut(_))) {
            return noted.map(drop);
        }
        for attempt in self.ended.drain(..) {
            self.endpoints.forget(&attempt);
        }
        for webhook in noted? {
            warn!(webhook = %webhook, "a webhook is disabled: it failed for three days, or is gone");
            metrics.webhooks.disabled_total.inc();
            self.endpoints.drop_waiting(webhook);
            self.sender.fail_rest().await?;
        }
        for webhook in self.endpoints.recovered() {
            info!(webhook = %webhook, "a webhook answers again: its deliveries are sent at once");
            store.hasten_deliveries(webhook, clock.now()).await?;
        }
        Ok(())
    }

    async fn count_if_due(&mut self) -> Result<(), StoreError> {
        if self.counted_at.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        self.counted_at = Some(Instant::now());
        // What a crash left.
        self.sender.fail_rest().await?;
        self.endpoints.prune();
        let counts = self.sender.store.count_webhooks().await?;
        let webhooks = &self.sender.metrics.webhooks;
        webhooks.set_waiting(counts.pending, counts.failing, counts.disabled);
        Ok(())
    }
}
