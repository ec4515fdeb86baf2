//! Replicas inside the test process, each a complete service on PostgreSQL, Redis and Kafka, whose store,
//! gateway and connections a test can disturb.

use super::deployment::{TestDatabase, references, required};
use super::proxy::Proxy;
use super::replicas::Replicas;
use super::{FaultyStore, GatedGateway, redis};
use airline_booking::app::{App, Ports};
use airline_booking::bus::kafka::KafkaBus;
use airline_booking::cache::redis::RedisCache;
use airline_booking::config::{Config, Database};
use airline_booking::gateway::simulated::{PostgresLedger, SimulatedGateway};
use airline_booking::ids::RandomIds;
use airline_booking::lock::redis::RedisLocks;
use airline_booking::store::Operations as _;
use airline_booking::store::postgres::PostgresStore;
use airline_booking::tasks::Tasks;
use airline_booking::telemetry::{Metrics, Tracing};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the members have in common.
pub struct Membership {
    settings: HashMap<String, String>,
    /// The database itself, past the proxies.
    pub database: String,
    locks: String,
    searches: String,
}

/// One of them.
pub struct Member {
    pub base: String,
    pub faults: Arc<FaultyStore>,
    pub gateway: Arc<GatedGateway>,
    /// Its own way to PostgreSQL.
    pub way: Proxy,
    pub store: Arc<PostgresStore>,
    pub metrics: Metrics,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Membership {
    /// On a database and topics of their own; none runs yet.
    pub async fn new() -> Self {
        let database = TestDatabase::postgres().await.url();
        let (redis, brokers) = (required("TEST_REDIS_URL"), super::kafka::brokers());
        let named = Replicas::on(&database, &redis, &brokers);
        let mut settings: HashMap<_, _> = named
            .settings()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        settings.insert("RATE_LIMIT_RPS".to_owned(), "0".to_owned());
        let (locks, searches) = (redis::prefix("locks"), redis::prefix("search"));
        Self { settings, database, locks, searches }
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    /// One setting more, or another value, for those that start from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Starts one more.
    pub async fn start(&self) -> Member {
        let (user, place) = self.database.split_once('@').expect("a user");
        let (server, name) = place.split_once('/').expect("a database");
        let way = Proxy::start("127.0.0.1:0", server).await;
        let url = format!("{user}@{}/{name}", way.address);
        let config = Config::from_env(|name| match name {
            "DATABASE_URL" => Some(url.clone()),
            _ => self.settings.get(name).cloned(),
        });
        let config = config.expect("sound settings");

        let Database::Postgres(postgres) = &config.database else { unreachable!() };
        let store = PostgresStore::open(postgres, config.currency, false).await;
        let store = Arc::new(store.expect("a store"));
        let (clock, metrics) = (store.clock(), Metrics::new());
        let faults = Arc::new(FaultyStore::new(store.clone()));
        let gateway = SimulatedGateway::new(
            PostgresLedger::of(&store),
            config.payment_latency,
            clock.clone(),
        );
        let gateway = Arc::new(GatedGateway::new(gateway));
        let kafka = config.kafka.as_ref().expect("Kafka");
        let ttl = config.answers_kept_for();
        let parts = Ports {
            store: faults.clone(),
            gateway: gateway.clone(),
            sandbox: None,
            bus: Arc::new(KafkaBus::connect(kafka, metrics.clone()).expect("a bus")),
            locks: Arc::new(RedisLocks::new(redis::single(), &self.locks)),
            cache: Arc::new(RedisCache::new(redis::single(), &self.searches, ttl, metrics.clone())),
            clock,
            ids: Arc::new(RandomIds),
            references: references(&*store).await,
            tasks: Tasks::default(),
            metrics: metrics.clone(),
            tracing: Tracing::default(),
        };

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let app = App::assemble(config, parts);
        let runtime = Handle::current();
        let serving = tokio::task::spawn_blocking(move || {
            // A member that is dropped stops as well.
            runtime.block_on(app.serve(vec![listener], async move { drop(stopped.await) }))
        });
        Member { base, faults, gateway, way, store, metrics, stop, serving }
    }
}

impl Member {
    /// Stops it in order, and checks that nothing in it had broken.
    pub async fn stop(self) {
        self.stop.send(()).expect("it serves");
        self.serving.await.expect("no panic").expect("no worker broke");
        self.store.close().await;
    }
}

/// A counter or gauge, summed over its labels.
pub fn sum(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.render();
    let lines = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Whether all that it holds is sound: the rules of `airline-booking audit` that are broken.
pub async fn violations(member: &Member) -> Vec<String> {
    let now = airline_booking::clock::Clock::now(&*member.store.clock());
    let findings = member.store.audit(now).await.expect("an audit");
    assert!(!findings.is_empty(), "an audit that checks nothing");
    let broken = findings.iter().filter(|finding| finding.violations > 0);
    broken.map(|finding| format!("{finding:?}")).collect()
}
