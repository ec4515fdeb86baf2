//! The composition root: chooses the parts, wires them, starts and stops them. Knows them all.

use crate::booking::{
    Bookings, Engine, EngineLimits, EngineParts, Flights, Policy, Sweeper, Waiting,
};
use crate::bus::memory::MemoryBus;
use crate::bus::relay::Relay;
use crate::bus::{Bus, BusError, Topic};
use crate::cache::SearchCache;
use crate::cache::memory::MemoryCache;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::http;
use crate::lock::FlightLocks;
use crate::lock::memory::MemoryLocks;
use crate::payments::gateway::Gateway;
use crate::payments::settlement::Settlement;
use crate::payments::simulated::SimulatedGateway;
use crate::payments::worker::{self, PaymentWorker};
use crate::sample;
use crate::search::Search;
use crate::store::sqlite::{ServiceClaim, SqliteStore};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use chrono::TimeDelta;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// The consumer group of settlement (`KAFKA_GROUP_ID`'s default).
const SETTLEMENT_GROUP: &str = "booking-service";

/// SQLite writes one transaction at a time: a second batch would only make both smaller.
const SQLITE_BATCHES_MAX: usize = 1;

/// The parts behind the ports.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Moves the money.
    pub gateway: Arc<dyn Gateway>,
    /// Carries messages.
    pub bus: Arc<dyn Bus>,
    /// Mutexes on flights.
    pub locks: Arc<dyn FlightLocks>,
    /// What cached answers are worth, and those that replicas share.
    pub cache: Arc<dyn SearchCache>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counters, which some of the parts add to.
    pub metrics: Metrics,
}

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
    /// Counters.
    pub metrics: Metrics,
    parts: Parts,
    config: Config,
    committed: Arc<Notify>,
    draining: Arc<AtomicBool>,
    stopping: CancellationToken,
    waiting: Waiting,
    /// Loops that run until the stop.
    workers: TaskTracker,
    /// Batches and gateway calls, each short.
    tasks: TaskTracker,
    /// Keeps a second process from serving the same embedded database.
    _claim: Option<ServiceClaim>,
}

/// The store that the settings name, for commands that work on it without serving.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqliteStore::open(sqlite_file(config)).await?))
}

fn sqlite_file(config: &Config) -> &std::path::Path {
    match &config.database {
        crate::config::Database::Sqlite(file) => file,
        crate::config::Database::Postgres(_) => todo!(),
    }
}

impl App {
    /// The embedded deployment: SQLite, and everything else in this process.
    pub async fn embedded(config: Config) -> anyhow::Result<Self> {
        let claim = SqliteStore::claim(sqlite_file(&config))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Arc::new(SqliteStore::open(sqlite_file(&config)).await?);
        let gateway = SimulatedGateway::new(store.ledger(), config.payment_latency, clock.clone());
        let parts = Parts {
            store,
            gateway: Arc::new(gateway),
            bus: Arc::new(MemoryBus::default()),
            locks: Arc::new(MemoryLocks::default()),
            cache: Arc::new(MemoryCache::default()),
            clock,
            metrics: Metrics::new(),
        };
        Ok(Self { _claim: Some(claim), ..Self::assemble(config, parts) })
    }

    /// Wires parts into a service at rest.
    pub fn assemble(config: Config, parts: Parts) -> Self {
        let metrics = parts.metrics.clone();
        let committed = Arc::new(Notify::new());
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let engine = Engine::new(
            EngineParts {
                store: parts.store.clone(),
                locks: parts.locks.clone(),
                cache: parts.cache.clone(),
                clock: parts.clock.clone(),
                policy: policy(&config),
                zone: config.schedule_timezone,
                metrics: metrics.clone(),
                committed: committed.clone(),
                tasks: tasks.clone(),
            },
            EngineLimits {
                queued_holds_max: config.max_queued_holds,
                batches_max: SQLITE_BATCHES_MAX,
            },
        );
        let waiting = Waiting::new(config.max_waiting, stopping.clone());
        let flights = Flights {
            engine: engine.clone(),
            store: parts.store.clone(),
            cache: parts.cache.clone(),
            clock: parts.clock.clone(),
            currency: config.currency,
            zone: config.schedule_timezone,
            committed: committed.clone(),
        };
        let search = Search::new(
            parts.store.clone(),
            parts.cache.clone(),
            config.schedule_timezone,
            config.cache_ttl,
            config.max_cache_entries,
            metrics.clone(),
        );
        let sweeper = Sweeper {
            engine: engine.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            interval: config.sweep_interval,
            redrive_after: delta(config.payment_redrive_after),
            committed: committed.clone(),
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
            metrics,
            parts,
            config,
            committed,
            draining: Arc::default(),
            stopping,
            waiting,
            workers: TaskTracker::new(),
            tasks,
            _claim: None,
        }
    }

    /// Fills an empty database with the sample flights; leaves any other as it is.
    pub async fn add_sample_flights(&self) -> Result<(), StoreError> {
        if self.parts.store.is_empty().await? {
            let now = self.parts.clock.now();
            let flights = sample::flights(now);
            self.parts.store.import_flights(&flights, self.config.currency, now).await?;
        }
        Ok(())
    }

    /// Starts the relay, the payment worker and settlement, which follow what is committed.
    pub async fn start_pipeline(&self) -> Result<(), BusError> {
        // The groups exist before anything is published, so that nothing goes past them.
        self.parts.bus.consume(Topic::PaymentRequests, worker::GROUP).await?;
        self.parts.bus.consume(Topic::PaymentEvents, SETTLEMENT_GROUP).await?;
        let events = self.parts.bus.listen(Topic::AirlineEvents).await?;

        let waiting = self.waiting.clone();
        self.spawn(async move {
            if let Err(error) = waiting.run(events).await {
                warn!(%error, "callers that wait are no longer woken early");
            }
        });
        let settlement = Settlement {
            bus: self.parts.bus.clone(),
            engine: self.engine.clone(),
            group: SETTLEMENT_GROUP.into(),
            metrics: self.metrics.clone(),
        };
        self.spawn(async move { settlement.run().await });
        let worker = PaymentWorker {
            bus: self.parts.bus.clone(),
            store: self.parts.store.clone(),
            gateway: self.parts.gateway.clone(),
            clock: self.parts.clock.clone(),
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
        };
        self.spawn(async move { worker.run().await });
        let relay = Relay {
            store: self.parts.store.clone(),
            bus: self.parts.bus.clone(),
            cache: self.parts.cache.clone(),
            committed: self.committed.clone(),
            metrics: self.metrics.clone(),
        };
        self.spawn(async move { relay.run().await });
        let cache = self.parts.cache.clone();
        self.spawn(async move { cache.run().await });
        Ok(())
    }

    /// Starts the sweeper, which follows the clock.
    pub fn start_sweeper(&self) {
        let sweeper = self.sweeper.clone();
        self.spawn(async move { sweeper.run().await });
    }

    /// How many batches and gateway calls are under way.
    pub fn running_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The HTTP service.
    pub fn router(&self) -> axum::Router {
        http::router(http::Api {
            bookings: self.bookings.clone(),
            flights: self.flights.clone(),
            search: self.search.clone(),
            store: self.parts.store.clone(),
            metrics: self.metrics.clone(),
            draining: self.draining.clone(),
            limits: http::HttpLimits {
                party_size_max: self.config.max_party_size,
                in_flight_max: self.config.max_in_flight,
                read_timeout: self.config.server_read_timeout,
                request_timeout: self.config.server_write_timeout,
            },
        })
    }

    /// Starts the workers and serves until `stop` resolves; then drains and stops.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.start_pipeline().await?;
        self.start_sweeper();
        let (draining, stopping) = (self.draining.clone(), self.stopping.clone());
        let closing = CancellationToken::new();
        let closed = closing.clone();
        // One service for all connections: a bare router would be copied for each.
        let service = self.router().into_make_service();
        let server = axum::serve(listener, service).with_graceful_shutdown(async move {
            stop.await;
            info!("stopping: no new requests; those under way are finished");
            draining.store(true, Ordering::Release);
            // Callers that wait for a payment are answered as it stands.
            stopping.cancel();
            closing.cancel();
        });
        let deadline = async {
            closed.cancelled().await;
            tokio::time::sleep(self.config.shutdown_timeout).await;
        };
        tokio::select! {
            served = server => served?,
            () = deadline => warn!("some requests did not finish in SHUTDOWN_TIMEOUT"),
        }
        self.stop().await;
        Ok(())
    }

    /// Lets running batches finish and stops the workers; what is left is durable.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.workers.close();
        self.tasks.close();
        let finished = async {
            self.workers.wait().await;
            self.tasks.wait().await;
        };
        if tokio::time::timeout(Duration::from_secs(5), finished).await.is_err() {
            warn!("some work did not finish; the next start goes on with it");
        }
        info!("stopped");
    }

    /// Runs a loop until the stop.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.workers.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        hold_for: delta(config.lock_ttl),
        closes_before: config.booking_closes_before.map(delta),
    }
}

/// Settings are far below the centuries that a `TimeDelta` cannot hold.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
