//! Constructs the use cases and workers from what they share: one constructor each.

use super::ports::{Ports, names};
use super::{batches, delta, policy};
use crate::booking::{
    Bookings, FailedWork, Flights, PaymentHints, Retention, SweepCursors, Sweeper, WaitingList,
};
use crate::config::Config;
use crate::engine::{AfterCommit, CompletionWaiters, Engine, EngineLimits, EngineParts};
use crate::events::{Events, LiveEvents};
use crate::health::Health;
use crate::identity::{Tickets, Tokens};
use crate::itineraries::{Itineraries, ItinerarySettings};
use crate::payments::news::GatewayNews;
use crate::payments::settlement::Settlement;
use crate::payments::worker::{GatewayCircuits, PaymentWorker};
use crate::relay::Relay;
use crate::sales::SalesCounter;
use crate::search::{Search, SearchSettings};
use crate::telemetry::Progress;
use crate::webhooks::{Intake, Registry, Sender};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The consumer groups while topics stay in the process: the defaults of `KAFKA_GROUP_ID`,
/// `KAFKA_PAYMENT_GROUP_ID`, `KAFKA_SALES_GROUP_ID` and `KAFKA_WEBHOOK_GROUP_ID`.
const SETTLEMENT_GROUP: &str = "booking-service";
const PAYMENT_GROUP: &str = "payment-service";
const SALES_GROUP: &str = "sales-service";
const WEBHOOK_GROUP: &str = "webhook-service";

/// Minimum time between two turns of the counter of sales. Topics that stay in the process keep the outbox until it is
/// done.
const TURN_OF_SALES: Duration = Duration::from_secs(5);
const TURN_OF_SALES_IN_PROCESS: Duration = Duration::from_millis(50);

/// The consumer group of settlement.
pub(super) fn settlement_group(config: &Config) -> &str {
    config.kafka.as_ref().map_or(SETTLEMENT_GROUP, |kafka| &kafka.group_id)
}

/// The consumer group of payment workers.
pub(super) fn payment_group(config: &Config) -> &str {
    config.kafka.as_ref().map_or(PAYMENT_GROUP, |kafka| &kafka.payment_group_id)
}

/// The consumer group that counts sales.
pub(super) fn sales_group(config: &Config) -> &str {
    config.kafka.as_ref().map_or(SALES_GROUP, |kafka| &kafka.sales_group_id)
}

/// The consumer group that queues events for webhooks.
pub(super) fn webhook_group(config: &Config) -> &str {
    config.kafka.as_ref().map_or(WEBHOOK_GROUP, |kafka| &kafka.webhook_group_id)
}

/// What the use cases and workers of one process share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) ports: Ports,
    pub(super) waiting: CompletionWaiters,
    /// Notified after each commit, to wake the relay.
    pub(super) committed: Arc<Notify>,
    /// Notified when something is to be sent to a webhook.
    told: Arc<Notify>,
    /// The circuits around the gateway.
    circuits: Arc<GatewayCircuits>,
}

impl Shared {
    pub(super) fn new(ports: Ports, waiting: CompletionWaiters, config: &Config) -> Self {
        let circuits = GatewayCircuits::new(config.gateway_timeout, &ports.metrics);
        let (committed, told) = (Arc::default(), Arc::default());
        Self { ports, waiting, committed, told, circuits: circuits.into() }
    }

    /// Lets metrics watch the store, and names external systems in spans.
    pub(super) fn watch(&self, config: &Config) {
        let Ports { store, metrics, tracing, .. } = &self.ports;
        tracing.set_names(names(config));
        metrics.set_version_limit(store.version_limit());
        let (pools, unreadable) = (store.clone(), store.clone());
        metrics.watch_pools(move || pools.pools());
        metrics.watch_unreadable(move || unreadable.unreadable());
    }

    pub(super) fn engine(&self, config: &Config) -> Engine {
        let Self { ports, waiting: waiters, .. } = self.clone();
        let Ports { store, locks, clock, ids, tasks, metrics, tracing, .. } = ports;
        let (policy, zone) = (policy(config), config.schedule_timezone);
        let (batches_max, batch_interval_min) = batches(&config.database);
        let queued_holds_max = config.max_queued_holds;
        Engine::new(
            EngineParts {
                store,
                locks,
                after_commit: self.after_commit(),
                clock,
                ids,
                policy,
                zone,
                metrics,
                tracing,
                waiters,
                tasks,
            },
            EngineLimits { queued_holds_max, batches_max, batch_interval_min },
        )
    }

    fn after_commit(&self) -> AfterCommit {
        AfterCommit { cache: self.ports.cache.clone(), relay: self.committed.clone() }
    }

    pub(super) fn bookings(&self, config: &Config, engine: &Engine) -> Bookings {
        let Self { ports: Ports { store, clock, ids, .. }, waiting, .. } = self.clone();
        Bookings::new(engine.clone(), store, waiting, clock, ids, policy(config))
    }

    pub(super) fn waiting_list(&self, config: &Config, engine: &Engine) -> WaitingList {
        let Ports { store, clock, ids, .. } = self.ports.clone();
        WaitingList::new(engine.clone(), store, self.bookings(config, engine), clock, ids)
    }

    pub(super) fn flights(&self, config: &Config, engine: &Engine) -> Flights {
        let Ports { store, clock, tasks, .. } = self.ports.clone();
        let after_commit = self.after_commit();
        let (engine, zone) = (engine.clone(), config.schedule_timezone);
        Flights { engine, store, after_commit, clock, currency: config.currency, zone, tasks }
    }

    pub(super) fn search(&self, config: &Config) -> Search {
        let Ports { store, cache, clock, metrics, tracing, .. } = self.ports.clone();
        let settings = SearchSettings {
            zone: config.schedule_timezone,
            ttl: config.answers_kept_for(),
            entries_max: config.max_cache_entries,
            closes_before: policy(config).closes_before,
        };
        Search::new(store, cache, clock, settings, metrics, tracing)
    }

    pub(super) fn itineraries(&self, config: &Config) -> Itineraries {
        let Ports { store, cache, clock, .. } = self.ports.clone();
        let settings = ItinerarySettings {
            zone: config.schedule_timezone,
            ttl: config.cache_ttl,
            closes_before: policy(config).closes_before,
            connection: delta(config.min_connection)..=delta(config.max_connection),
            currency: config.currency,
        };
        Itineraries::new(store, cache, clock, settings)
    }

    pub(super) fn events(&self, config: &Config) -> Events {
        let Ports { bus, store, clock, .. } = self.ports.clone();
        Events::new(bus, store, clock, config.event_retention)
    }

    pub(super) fn live(&self, config: &Config, stopping: &CancellationToken) -> LiveEvents {
        let (events, metrics) = (self.events(config), self.ports.metrics.clone());
        LiveEvents::new(events, config.max_event_streams, metrics, stopping.clone())
    }

    pub(super) fn health(&self, config: &Config) -> Health {
        let Ports { store, cache, bus, metrics, .. } = self.ports.clone();
        let cache = config.redis.is_some().then_some(cache);
        let bus = config.kafka.is_some().then_some(bus);
        Health::of(store, cache, bus, metrics, config.stalled_after)
    }

    /// `None` while authentication is off.
    pub(super) fn tokens(&self, config: &Config) -> Option<Tokens> {
        config.auth.as_ref().map(|auth| Tokens::new(auth, self.ports.clock.clone()))
    }

    pub(super) fn tickets(&self) -> Tickets {
        let Ports { references, clock, .. } = self.ports.clone();
        Tickets::new(&references.secret("tickets"), clock)
    }

    pub(super) fn sweeper(&self, config: &Config, engine: &Engine) -> Sweeper {
        let Self { ports: Ports { store, bus, clock, metrics, .. }, committed, .. } = self.clone();
        Sweeper {
            engine: engine.clone(),
            store,
            bus,
            events_kept_for: delta(config.event_retention),
            clock,
            interval: config.sweep_interval,
            redrive_after: delta(config.payment_redrive_after),
            closes_before: policy(config).closes_before,
            committed,
            metrics,
            cursors: SweepCursors::default(),
            failed_work: FailedWork::default(),
            deliveries_kept_for: delta(config.webhook_retention),
            retention: config.passenger_retention.map(|kept_for| Retention::new(delta(kept_for))),
        }
    }

    pub(super) fn settlement(&self, config: &Config, engine: &Engine) -> Settlement {
        let Ports { bus, metrics, tracing, .. } = self.ports.clone();
        let (engine, group) = (engine.clone(), settlement_group(config).to_owned());
        Settlement { bus, engine, group, metrics, tracing, progress: Progress::default() }
    }

    pub(super) fn payment_worker(&self, config: &Config) -> PaymentWorker {
        let Ports { bus, store, gateway, clock, tasks, metrics, tracing, .. } = self.ports.clone();
        PaymentWorker {
            bus,
            notes: store.clone(),
            store,
            gateway,
            clock,
            group: payment_group(config).to_owned(),
            timeout: config.gateway_timeout,
            circuits: self.circuits.clone(),
            metrics,
            tasks,
            tracing,
            taking: Progress::default(),
            answering: Progress::default(),
        }
    }

    pub(super) fn payment_hints(&self) -> PaymentHints {
        let Ports { store, clock, .. } = self.ports.clone();
        PaymentHints::new(store, clock, self.committed.clone())
    }

    pub(super) fn gateway_news(&self, config: &Config, engine: &Engine) -> GatewayNews {
        let Ports { store, gateway, .. } = self.ports.clone();
        let (engine, circuits) = (engine.clone(), self.circuits.clone());
        GatewayNews { gateway, store, engine, circuits, timeout: config.gateway_timeout }
    }

    pub(super) fn webhooks(&self, config: &Config) -> Registry {
        let Ports { store, clock, .. } = self.ports.clone();
        let is_private_allowed = config.webhook_allow_private;
        Registry { store, clock, is_private_allowed, due: self.told.clone() }
    }

    pub(super) fn sales_counter(&self, config: &Config) -> SalesCounter {
        let Ports { bus, store, metrics, .. } = self.ports.clone();
        let (group, zone) = (sales_group(config).to_owned(), config.schedule_timezone);
        let turn = if config.kafka.is_some() { TURN_OF_SALES } else { TURN_OF_SALES_IN_PROCESS };
        SalesCounter { bus, store, group, turn, zone, metrics, progress: Progress::default() }
    }

    pub(super) fn webhook_intake(&self, config: &Config) -> Intake {
        let Ports { bus, store, clock, metrics, .. } = self.ports.clone();
        let group = webhook_group(config).to_owned();
        let (due, progress) = (self.told.clone(), Progress::default());
        let may_rest = config.kafka.is_some();
        Intake { bus, store, clock, group, due, metrics, progress, may_rest }
    }

    pub(super) fn webhook_sender(&self, config: &Config) -> Sender {
        let Ports { store, clock, metrics, .. } = self.ports.clone();
        Sender::new(store, clock, config.webhook_allow_private, self.told.clone(), metrics)
    }

    pub(super) fn relay(&self) -> Relay {
        let Self { ports, committed, .. } = self.clone();
        let Ports { store, bus, cache, metrics, tracing, .. } = ports;
        Relay { store, bus, cache, committed, metrics, tracing }
    }
}
