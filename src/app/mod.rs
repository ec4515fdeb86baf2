//! The composition root: chooses the parts, wires them, starts and stops them. Knows them all.

mod beside;
mod parts;
pub(crate) mod samples;
mod services;
mod serving;
mod stop;
mod workers;

use crate::booking::{Bookings, Flights, PassedOver, Retention, Sweeper, Walks};
use crate::bus::BusError;
use crate::config::{Config, Database, Role};
use crate::domain::{Flight, FlightId};
use crate::engine::{CompletionWaiters, Engine, EngineLimits, EngineParts};
use crate::health::Health;
use crate::identity::Tokens;
use crate::messages::Topic;
use crate::payments::settlement::Settlement;
use crate::payments::worker::PaymentWorker;
use crate::relay::Relay;
use crate::rules::Policy;
use crate::search::{Search, SearchSettings};
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::telemetry::{Metrics, Progress, Tracing};
use chrono::TimeDelta;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

pub use beside::{Beside, engine_beside};
use parts::{Chosen, Claims, names};
pub use parts::{Parts, open_store};
pub use services::{Missing, Services};
use workers::{Stops, Workers};

/// The consumer groups where topics stay in the process: `KAFKA_GROUP_ID`'s default and
/// `KAFKA_PAYMENT_GROUP_ID`'s.
const SETTLEMENT_GROUP: &str = "booking-service";
const PAYMENT_GROUP: &str = "payment-service";

/// How long a stop waits for the collector of traces.
const TRACES_TIMEOUT: Duration = Duration::from_secs(3);

/// How often the database's clock is looked at.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// How often it is looked whether the keys of tokens are due.
const KEYS_INTERVAL: Duration = Duration::from_secs(10);

/// The service as a value: build it, start its workers, serve it, stop it.
pub struct App {
    /// Booking use cases.
    pub bookings: Bookings,
    /// Flight use cases.
    pub flights: Flights,
    /// Searches.
    pub search: Search,
    /// The sweeper, which a test steps by itself.
    pub sweeper: Arc<Sweeper>,
    /// The door.
    pub engine: Engine,
    /// Which dependencies answer.
    pub health: Health,
    /// Counters.
    pub metrics: Metrics,
    tracing: Tracing,
    parts: Parts,
    config: Config,
    /// Checks who calls; `None`: anyone may do all.
    pub tokens: Option<Arc<Tokens>>,
    committed: Arc<Notify>,
    draining: Arc<AtomicBool>,
    stopping: CancellationToken,
    waiting: CompletionWaiters,
    workers: Workers,
    /// Batches and gateway calls, each short.
    tasks: TaskTracker,
    /// Whose clock is followed.
    postgres: Option<Arc<PostgresStore>>,
    /// Where `/metrics` is answered, if it has a port of its own.
    operators: Option<TcpListener>,
    /// Keep a second process from serving where only one can; looked after while it serves.
    claims: Claims,
}

impl App {
    /// The service as the settings want it, at rest.
    pub async fn compose(config: Config) -> anyhow::Result<Self> {
        let Chosen { parts, postgres, claims } = Chosen::by(&config).await?;
        let app = Self { postgres, claims, ..Self::assemble(config, parts) };
        if let Some(tokens) = &app.tokens {
            tokens.prepare().await?;
        }
        Ok(app)
    }

    /// Wires parts into a service at rest.
    pub fn assemble(config: Config, parts: Parts) -> Self {
        let (metrics, tracing) = (parts.metrics.clone(), parts.tracing.clone());
        tracing.set_names(names(&config));
        let (store, read) = (parts.store.clone(), parts.store.clone());
        metrics.watch_pools(move || store.pools());
        metrics.set_version_limit(parts.store.version_limit());
        metrics.watch_unreadable(move || read.unreadable());
        let committed = Arc::new(Notify::new());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let waiting = CompletionWaiters::new(config.max_waiting, stopping.clone());
        let (batches_max, between_batches) = batches(&config.database);
        let engine = Engine::new(
            EngineParts {
                store: parts.store.clone(),
                locks: parts.locks.clone(),
                cache: parts.cache.clone(),
                clock: parts.clock.clone(),
                policy: policy(&config),
                zone: config.schedule_timezone,
                metrics: metrics.clone(),
                tracing: tracing.clone(),
                waiting: waiting.clone(),
                committed: committed.clone(),
                tasks: tasks.clone(),
            },
            EngineLimits {
                queued_holds_max: config.max_queued_holds,
                batches_max,
                between_batches,
            },
        );
        let flights = Flights {
            engine: engine.clone(),
            store: parts.store.clone(),
            cache: parts.cache.clone(),
            clock: parts.clock.clone(),
            currency: config.currency,
            zone: config.schedule_timezone,
            committed: committed.clone(),
            tasks: tasks.clone(),
        };
        let search_settings = SearchSettings {
            zone: config.schedule_timezone,
            ttl: config.answers_kept_for(),
            entries_max: config.max_cache_entries,
            closes_before: policy(&config).closes_before,
        };
        let search = Search::new(
            parts.store.clone(),
            parts.cache.clone(),
            parts.clock.clone(),
            search_settings,
            metrics.clone(),
            tracing.clone(),
        );
        let tokens = config.auth.as_ref().map(|auth| Tokens::new(auth, parts.clock.clone()));
        let sweeper = Sweeper {
            engine: engine.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            interval: config.sweep_interval,
            redrive_after: delta(config.payment_redrive_after),
            committed: committed.clone(),
            metrics: metrics.clone(),
            walks: Walks::default(),
            passed_over: PassedOver::default(),
            retention: config.passenger_retention.map(|kept_for| Retention::of(delta(kept_for))),
        };
        Self {
            bookings: Bookings::new(
                engine.clone(),
                parts.store.clone(),
                waiting.clone(),
                parts.clock.clone(),
            ),
            flights,
            search,
            sweeper: Arc::new(sweeper),
            engine,
            health: Health::of(
                parts.store.clone(),
                config.redis.is_some().then(|| parts.cache.clone()),
                config.kafka.is_some().then(|| parts.bus.clone()),
                metrics.clone(),
                config.stalled_after,
            ),
            metrics: metrics.clone(),
            tracing,
            parts,
            config,
            tokens: tokens.map(Arc::new),
            committed,
            draining: Arc::default(),
            workers: Workers::counted_by(metrics.clone()),
            stopping,
            waiting,
            tasks,
            postgres: None,
            operators: None,
            claims: Claims::default(),
        }
    }

    /// Answers what operators ask, `/metrics` among it, there as well once it serves (`METRICS_PORT`).
    #[must_use]
    pub fn with_operators_at(self, listener: TcpListener) -> Self {
        Self { operators: Some(listener), ..self }
    }

    /// A flight to try the service on: the first that was stored.
    pub async fn first_flight(&self) -> Result<Option<Flight>, StoreError> {
        self.parts.store.flight(FlightId(1)).await
    }

    /// Starts what follows the commits: the relay, the payment worker, settlement, and whoever
    /// wakes those that wait; each where this process has the role.
    pub async fn start_pipeline(&self) -> Result<(), BusError> {
        let bus = &self.parts.bus;
        let Stops { intake, settlement: until_payments_end, relay: last } = self.workers.stops();
        // The groups exist before anything is published, so that nothing goes past them.
        if self.has(Role::Payments) {
            bus.consume(Topic::PaymentRequests, self.payment_group()).await?;
        }
        if self.has(Role::Settlement) {
            bus.consume(Topic::PaymentEvents, self.settlement_group()).await?;
        }
        if self.has(Role::Api) {
            let waiting = self.waiting.clone();
            let events = bus.listen(Topic::AirlineEvents).await?;
            let bus = bus.clone();
            self.workers.spawn("waking", intake, async move { waiting.run(bus, events).await });
        }
        if self.has(Role::Settlement) {
            let settlement = Settlement {
                bus: bus.clone(),
                engine: self.engine.clone(),
                group: self.settlement_group().to_owned(),
                metrics: self.metrics.clone(),
                tracing: self.tracing.clone(),
                progress: Progress::default(),
            };
            let (progress, bus) = (settlement.progress.clone(), bus.clone());
            let group = settlement.group.clone();
            self.metrics.watch_worker("settlement", move |now| {
                progress.stalled_for(bus.waiting_since(Topic::PaymentEvents, &group), now)
            });
            self.workers.spawn(
                "settlement",
                until_payments_end,
                async move { settlement.run().await },
            );
        }
        if self.has(Role::Payments) {
            let worker = PaymentWorker {
                bus: bus.clone(),
                store: self.parts.store.clone(),
                gateway: self.parts.gateway.clone(),
                clock: self.parts.clock.clone(),
                group: self.payment_group().to_owned(),
                timeout: self.config.gateway_timeout,
                metrics: self.metrics.clone(),
                tasks: self.tasks.clone(),
                tracing: self.tracing.clone(),
                taking: Progress::default(),
                answering: Progress::default(),
            };
            let (watched, stop) = (worker.clone(), intake.clone());
            self.metrics.watch_worker("payments", move |now| {
                let waiting = watched.bus.waiting_since(Topic::PaymentRequests, &watched.group);
                let taking = watched.taking.stalled_for(waiting, now);
                taking.max(watched.answering.stalled_for(None, now))
            });
            self.workers.spawn_draining("payments", async move { worker.run(&stop).await });
        }
        if self.has(Role::Relay) {
            let relay = Relay {
                store: self.parts.store.clone(),
                bus: bus.clone(),
                cache: self.parts.cache.clone(),
                committed: self.committed.clone(),
                metrics: self.metrics.clone(),
                tracing: self.tracing.clone(),
            };
            self.workers.spawn("relay", last, async move { relay.run().await });
        }
        let cache = self.parts.cache.clone();
        self.workers.spawn("cache", last, async move { cache.run().await });
        Ok(())
    }

    fn has(&self, role: Role) -> bool {
        self.config.roles.has(role)
    }

    fn settlement_group(&self) -> &str {
        self.config.kafka.as_ref().map_or(SETTLEMENT_GROUP, |kafka| &kafka.group_id)
    }

    fn payment_group(&self) -> &str {
        self.config.kafka.as_ref().map_or(PAYMENT_GROUP, |kafka| &kafka.payment_group_id)
    }

    /// Follows the database's clock, where it is another machine's.
    fn follow_clock(&self) {
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

    /// Keeps the keys that tokens are signed with, where they are kept elsewhere.
    fn keep_keys(&self) {
        let Some(tokens) = self.tokens.clone() else { return };
        self.workers.spawn("keys", &self.workers.stops().intake, async move {
            loop {
                tokio::time::sleep(KEYS_INTERVAL).await;
                tokens.keep_keys().await;
            }
        });
    }

    /// Goes on adding sample flights while it serves, as long as the database has no others.
    pub fn keep_adding_sample_flights(&self) {
        let samples = self.samples();
        self.workers.spawn(
            "samples",
            &self.workers.stops().intake,
            async move { samples.run().await },
        );
    }

    /// Starts the sweeper, which follows the clock, where this process has the role.
    pub fn start_sweeper(&self) {
        if !self.has(Role::Sweeper) {
            return;
        }
        let sweeper = self.sweeper.clone();
        self.workers.spawn(
            "sweeper",
            &self.workers.stops().intake,
            async move { sweeper.run().await },
        );
    }

    /// How many batches and gateway calls are under way.
    pub fn running_tasks(&self) -> usize {
        self.tasks.len()
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        hold_for: delta(config.lock_ttl),
        closes_before: config.booking_closes_before.map(delta),
    }
}

/// How batches follow each other. SQLite writes one transaction at a time: a second batch beside it, or
/// a pause, would only make both smaller. PostgreSQL carries two, so that one is on its way while the
/// other is decided; more of them would be smaller, and each costs it, Redis and the way to them as much
/// as some ten bookings.
fn batches(database: &Database) -> (usize, Duration) {
    match database {
        Database::Sqlite(_) => (1, Duration::ZERO),
        Database::Postgres(_) => (2, Duration::from_millis(3)),
    }
}

/// Settings are far below the centuries that a `TimeDelta` cannot hold.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
