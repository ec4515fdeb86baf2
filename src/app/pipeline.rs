//! Starts the workers of the roles that this process has.

use super::App;
use super::shared::{payment_group, sales_group, settlement_group, webhook_group};
use crate::bus::BusError;
use crate::config::Role;
use crate::http::Edge;
use crate::messages::Topic;
use std::time::Duration;
use tracing::debug;

/// How often this process compares its clock with the database's.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// How often this process checks whether the token keys are due for a reload.
const KEYS_INTERVAL: Duration = Duration::from_secs(10);

impl App {
    /// Starts the workers that follow commits: the relay, the payment worker, settlement, those that tell
    /// partners and travellers, and the one that wakes callers waiting for a booking's end.
    ///
    /// Fails if the bus does not answer, or a setting of the messages is unusable.
    pub async fn start_pipeline(&self) -> anyhow::Result<()> {
        self.create_groups().await?;
        if let Some(messaging) = self.prepare_messages().await? {
            self.start_messages(messaging);
        }
        if self.has(Role::Api) {
            self.start_waking().await?;
            let live = self.live.clone();
            let intake = &self.workers.stops().intake;
            self.workers.spawn("event streams", intake, async move { live.run().await });
        }
        if self.has(Role::Settlement) {
            self.start_settlement();
        }
        if self.has(Role::Payments) {
            self.start_payment_worker();
        }
        if self.has(Role::Notify) {
            self.start_webhooks();
            self.start_sales();
        }
        let last = &self.workers.stops().relay;
        if self.has(Role::Relay) {
            let relay = self.shared.relay();
            self.workers.spawn("relay", last, async move { relay.run().await });
        }
        let cache = self.shared.ports.cache.clone();
        self.workers.spawn("cache", last, async move { cache.run().await });
        Ok(())
    }

    /// Shares the rate limits of a router with other replicas.
    pub(super) fn share_limits(&self, edge: &Edge) {
        let last = &self.workers.stops().relay;
        self.workers.spawn("rate limits", last, edge.share_limits());
    }

    /// The groups exist before anything is published, so they miss no message.
    async fn create_groups(&self) -> Result<(), BusError> {
        let bus = &self.shared.ports.bus;
        if self.has(Role::Payments) {
            bus.consume(Topic::PaymentRequests, payment_group(&self.config)).await?;
        }
        if self.has(Role::Settlement) {
            bus.consume(Topic::PaymentEvents, settlement_group(&self.config)).await?;
        }
        if self.has(Role::Notify) {
            bus.consume(Topic::AirlineEvents, webhook_group(&self.config)).await?;
            bus.consume(Topic::FlightBookings, sales_group(&self.config)).await?;
        }
        Ok(())
    }

    async fn start_waking(&self) -> Result<(), BusError> {
        let (bus, waiting) = (self.shared.ports.bus.clone(), self.shared.waiting.clone());
        let events = bus.listen(Topic::AirlineEvents).await?;
        let intake = &self.workers.stops().intake;
        self.workers.spawn("waking", intake, async move { waiting.run(bus, events).await });
        Ok(())
    }

    fn start_settlement(&self) {
        let settlement = self.shared.settlement(&self.config, &self.engine);
        let (progress, bus) = (settlement.progress.clone(), settlement.bus.clone());
        let group = settlement.group.clone();
        self.metrics.watch_worker("settlement", move |now| {
            progress.stalled_for(bus.waiting_since(Topic::PaymentEvents, &group), now)
        });
        let stop = &self.workers.stops().settlement;
        self.workers.spawn("settlement", stop, async move { settlement.run().await });
    }

    fn start_payment_worker(&self) {
        let worker = self.shared.payment_worker(&self.config);
        let (watched, stop) = (worker.clone(), self.workers.stops().intake.clone());
        self.metrics.watch_worker("payments", move |now| {
            let waiting = watched.bus.waiting_since(Topic::PaymentRequests, &watched.group);
            let taking = watched.taking.stalled_for(waiting, now);
            taking.max(watched.answering.stalled_for(None, now))
        });
        self.workers.spawn_draining("payments", async move { worker.run(&stop).await });
    }

    /// The counter ends behind the relay's last messages, so that a stop leaves none of them waiting.
    fn start_sales(&self) {
        let counter = self.shared.sales_counter(&self.config);
        let (progress, bus) = (counter.progress.clone(), counter.bus.clone());
        let group = counter.group.clone();
        self.metrics.watch_worker("sales", move |now| {
            progress.stalled_for(bus.waiting_since(Topic::FlightBookings, &group), now)
        });
        let last = &self.workers.stops().relay;
        self.workers.spawn("sales", last, async move { counter.run().await });
    }

    fn start_webhooks(&self) {
        let intake = self.shared.webhook_intake(&self.config);
        let (progress, bus) = (intake.progress.clone(), intake.bus.clone());
        let group = intake.group.clone();
        self.metrics.watch_worker("webhooks", move |now| {
            progress.stalled_for(bus.waiting_since(Topic::AirlineEvents, &group), now)
        });
        let stop = self.workers.stops().intake.clone();
        self.workers.spawn("webhook intake", &stop, async move { intake.run().await });
        let sender = self.shared.webhook_sender(&self.config);
        self.workers.spawn_draining("webhooks", async move { sender.run(&stop).await });
    }

    /// Starts the sweeper, if this process has its role.
    pub fn start_sweeper(&self) {
        if self.has(Role::Sweeper) {
            let sweeper = self.sweeper.clone();
            let stop = &self.workers.stops().intake;
            self.workers.spawn("sweeper", stop, async move { sweeper.run().await });
        }
    }

    /// Follows the database's clock, if the database may run on another machine.
    pub(super) fn follow_clock(&self) {
        let Some(postgres) = self.postgres.clone() else { return };
        self.workers.spawn("clock", &self.workers.stops().relay, async move {
            loop {
                tokio::time::sleep(CLOCK_INTERVAL).await;
                if let Err(error) = postgres.set_clock().await {
                    debug!(%error, "the database's clock could not be read");
                }
            }
        });
    }

    /// Reloads the keys that verify tokens.
    pub(super) fn keep_keys(&self) {
        let Some(tokens) = self.tokens.clone() else { return };
        self.workers.spawn("keys", &self.workers.stops().intake, async move {
            loop {
                tokio::time::sleep(KEYS_INTERVAL).await;
                tokens.keep_keys().await;
            }
        });
    }

    /// Adds sample flights as days pass, until the database has other flights too.
    pub fn keep_adding_sample_flights(&self) {
        let samples = self.samples();
        let stop = &self.workers.stops().intake;
        self.workers.spawn("samples", stop, async move { samples.run().await });
    }
}
