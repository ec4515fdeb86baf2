//! The composition root: builds the service from its settings, starts its workers, serves, and stops.

mod beside;
mod claims;
mod messaging;
mod open_store;
mod pipeline;
mod ports;
mod reconcile;
pub(crate) mod samples;
mod services;
mod serving;
mod shared;
mod stop;
mod workers;

use crate::booking::{Bookings, Flights, Sweeper, WaitingList};
use crate::config::{Config, Database, Role};
use crate::domain::{Flight, FlightId};
use crate::engine::{CompletionWaiters, Engine};
use crate::events::LiveEvents;
use crate::health::Health;
use crate::identity::Tokens;
use crate::itineraries::Itineraries;
use crate::limits::{Once, SharedLimits};
use crate::rules::Policy;
use crate::rules::waiting::Terms;
use crate::search::Search;
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::telemetry::Metrics;
use crate::webhooks::Registry;
use chrono::TimeDelta;
use claims::Claims;
use messaging::Messaging;
use ports::Opening;
use shared::Shared;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workers::Workers;

pub use beside::{Beside, engine_beside};
pub use open_store::{Access, with_store};
pub use ports::Ports;
pub use reconcile::{ReconcileReport, Repair, reconcile_with_stripe};
pub use services::{Missing, Services};

/// The service as a value: build it, start its workers, serve it, stop it.
pub struct App {
    /// Booking use cases.
    pub bookings: Bookings,
    /// Waiting list use cases.
    pub waiting_list: WaitingList,
    /// Flight use cases.
    pub flights: Flights,
    /// Webhook use cases.
    pub webhooks: Registry,
    /// Searches.
    pub search: Search,
    /// Searches for connections.
    pub itineraries: Itineraries,
    /// The sweeper; tests call its steps.
    pub sweeper: Arc<Sweeper>,
    /// The engine that decides every command.
    pub engine: Engine,
    /// The state of the dependencies and workers.
    pub health: Health,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Authenticates callers; `None` while authentication is off.
    pub tokens: Option<Arc<Tokens>>,
    /// Streams of events.
    live: LiveEvents,
    config: Box<Config>,
    shared: Shared,
    draining: Arc<AtomicBool>,
    stopping: CancellationToken,
    workers: Workers,
    /// Rate limits that replicas share; `None`: this process counts alone.
    limits: Option<Arc<dyn SharedLimits>>,
    /// Notes what may happen once.
    once: Arc<Once>,
    /// The store whose clock this process follows.
    postgres: Option<Arc<PostgresStore>>,
    /// The store that the stop closes: the file that this process has opened itself.
    embedded: Option<Arc<SqliteStore>>,
    /// Listens on the operators' port (`METRICS_PORT`), if there is one.
    operators: Option<TcpListener>,
    claims: Claims,
}

impl App {
    /// Builds the service from its settings. No worker runs yet.
    pub async fn compose(config: Config) -> anyhow::Result<Self> {
        let Opening { ports, limits, once, postgres, embedded, claims } =
            Opening::from_config(&config).await?;
        let app =
            Self { limits, once, postgres, embedded, claims, ..Self::assemble(config, ports) };
        if let Some(tokens) = &app.tokens {
            tokens.prepare().await?;
        }
        if app.has(Role::Notify) {
            // An unusable template or address is found before anybody is told that the service runs.
            Messaging::of(&app.shared, &app.config)?;
        }
        Ok(app)
    }

    /// Builds the service on the given ports. No worker runs yet.
    pub fn assemble(config: Config, ports: Ports) -> Self {
        let stopping = CancellationToken::new();
        let waiting = CompletionWaiters::new(config.max_waiting, stopping.clone());
        let shared = Shared::new(ports, waiting, &config);
        shared.watch(&config);
        let engine = shared.engine(&config);
        Self {
            bookings: shared.bookings(&config, &engine),
            waiting_list: shared.waiting_list(&config, &engine),
            flights: shared.flights(&config, &engine),
            webhooks: shared.webhooks(&config),
            search: shared.search(&config),
            itineraries: shared.itineraries(&config),
            sweeper: Arc::new(shared.sweeper(&config, &engine)),
            health: shared.health(&config),
            tokens: shared.tokens(&config).map(Arc::new),
            metrics: shared.ports.metrics.clone(),
            workers: Workers::new(shared.ports.metrics.clone(), &shared.ports.tasks),
            live: shared.live(&config, &stopping),
            engine,
            shared,
            config: config.into(),
            draining: Arc::default(),
            stopping,
            limits: None,
            once: Arc::default(),
            postgres: None,
            embedded: None,
            operators: None,
            claims: Claims::default(),
        }
    }

    /// Adds the operators' port (`METRICS_PORT`): it answers health and metrics while the service runs.
    #[must_use]
    pub fn with_operators_at(self, listener: TcpListener) -> Self {
        Self { operators: Some(listener), ..self }
    }

    /// Shares the rate limits with other replicas.
    #[must_use]
    pub fn with_limits(self, limits: Arc<dyn SharedLimits>) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// The oldest flight, as an example to try the service with.
    pub async fn first_flight(&self) -> Result<Option<Flight>, StoreError> {
        self.shared.ports.store.flight(FlightId(1)).await
    }

    /// Number of running batches and gateway calls.
    pub fn running_tasks(&self) -> usize {
        self.shared.ports.tasks.len()
    }

    fn has(&self, role: Role) -> bool {
        self.config.roles.has(role)
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        hold_for: delta(config.lock_ttl),
        payment_window: delta(config.payment_window),
        closes_before: config.booking_closes_before.map(delta),
        min_connection: delta(config.min_connection),
        free_refusal_after: delta(config.free_refusal_after),
        offer_ttl: delta(config.offer_ttl),
        waiting: Terms {
            overtakes_max: config.waitlist_max_overtakes,
            gather_for: delta(config.waitlist_gather_for),
            release_before: delta(config.waitlist_release_before),
        },
    }
}

/// Maximum concurrent batches, and the minimum time between their starts. SQLite writes one transaction
/// at a time: a second batch, or a pause, would only make batches smaller. PostgreSQL gets two, so that
/// one is on its way while the other is decided. More would be smaller, and each batch costs PostgreSQL,
/// Redis and the network as much as some ten bookings.
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
