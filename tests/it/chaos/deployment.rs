//! The deployment that a run of chaos owns: servers, replicas, and a proxy on each link between them.

use crate::support::callers::Bases;
use crate::support::kafka::Broker;
use crate::support::process::{Server, run_with};
use crate::support::proxy::Proxy;
use crate::support::redis::Server as RedisServer;
use crate::support::replicas::Replicas;
use crate::support::{eventually, flight, process, services::Service};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::fs::File;
use std::net::TcpListener;
use std::time::Instant;
use tempfile::TempDir;

pub const REPLICAS: usize = 2;

/// Where the replicas' logs are kept.
pub const LOGS: &str = env!("CARGO_TARGET_TMPDIR");

/// Days with flights.
pub const DAYS: usize = 28;

/// Enough that the load never buys them all.
const FLIGHTS: usize = 200;
const SEATS: i32 = 10_000;

/// Flights that are soon sold out.
const SMALL_FLIGHTS: usize = 2;
const FEW_SEATS: i32 = 60;

/// The servers that a replica has a link to.
#[derive(Debug, Clone, Copy)]
pub enum Link {
    Postgres,
    Redis,
    Kafka,
}

/// A replica, and its own way to each server.
pub struct Replica {
    links: [Proxy; 3],
    /// `None` while it is killed.
    server: Option<Server>,
}

pub struct Deployment {
    pub postgres: Service,
    /// A synchronous streaming replica of it, where this machine has the programs.
    standby: Option<Service>,
    pub redis: RedisServer,
    pub kafka: Broker,
    pub bases: Bases,
    replicas: Vec<Replica>,
    /// Topics and groups of both, and the ways to the servers that no fault is on.
    names: Replicas,
    directory: TempDir,
}

impl Replica {
    pub fn link(&self, link: Link) -> &Proxy {
        &self.links[link as usize]
    }

    pub async fn signal(&self, signal: &str) {
        self.server.as_ref().expect("it runs").signal(signal).await;
    }
}

impl Deployment {
    /// Starts all of it.
    pub async fn start() -> Self {
        let (postgres, redis) = tokio::join!(Service::start("postgres"), RedisServer::start());
        let database = postgres.address("TEST_DATABASE_URL").to_owned();
        let (mut replicas, mut behind) = (Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            let listener = free_port();
            let to_kafka = Proxy::start("127.0.0.1:0", &format!("127.0.0.1:{listener}")).await;
            behind.push(format!("{listener}={}", to_kafka.address.port()));
            let to_postgres = Proxy::start("127.0.0.1:0", place(&database)).await;
            let to_redis =
                Proxy::start("127.0.0.1:0", &format!("127.0.0.1:{}", redis.port())).await;
            replicas.push(Replica { links: [to_postgres, to_redis, to_kafka], server: None });
        }
        let kafka = Broker::start_behind(&behind.join(" ")).await;
        let names = Replicas::on(&database, &redis.url(), &kafka.brokers);
        let directory = tempfile::tempdir().expect("a directory");
        let bases = Bases::new(vec![String::new(); REPLICAS]);
        let standby = None;
        let mut deployment =
            Self { postgres, standby, redis, kafka, bases, replicas, names, directory };
        if deployment.can_fail_over() {
            deployment.start_standby().await;
        }
        for replica in 0..REPLICAS {
            // An earlier run's.
            let _ = std::fs::remove_file(format!("{LOGS}/chaos-{replica}.log"));
            deployment.start_replica(replica).await;
        }
        deployment
    }

    /// Creates flights, a few on each day of a month.
    pub async fn add_flights(&self) -> Vec<i64> {
        let client = process::http_client();
        let mut flights = Vec::new();
        for number in 0..FLIGHTS {
            let mut flight = flight(if number < SMALL_FLIGHTS { FEW_SEATS } else { SEATS });
            flight["timestamp"] = json!(format!("2025-01-{:02}T10:00:00Z", 1 + number % DAYS));
            let post = client.post(format!("{}/api/v1/flights", self.bases.of(0)));
            let created = post.json(&flight).send().await.expect("an answer");
            let created: Value = created.json().await.expect("JSON");
            flights.push(created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}")));
        }
        flights
    }

    pub fn replica(&self, number: usize) -> &Replica {
        &self.replicas[number]
    }

    pub async fn kill_replica(&mut self, number: usize) {
        self.replicas[number].server.take().expect("it runs").kill().await;
    }

    /// Starts one that does not run.
    pub async fn start_replica(&mut self, number: usize) {
        let replica = &self.replicas[number];
        let address = |link| replica.link(link).address.to_string();
        let database = self.setting("DATABASE_URL");
        let database = database.replace(place(database), &address(Link::Postgres));
        let redis = format!("redis://{}", address(Link::Redis));
        let brokers = address(Link::Kafka);
        let mut settings = self.names.settings();
        settings.extend([
            ("DATABASE_URL", &*database),
            ("REDIS_URL", &redis),
            ("KAFKA_BROKERS", &brokers),
            ("RUST_LOG", "warn"),
        ]);
        let log = format!("{LOGS}/chaos-{number}.log");
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let server = Server::start_logging(self.directory.path(), &settings, log.into()).await;
        let bases = (0..REPLICAS)
            .map(|other| if other == number { server.base.clone() } else { self.bases.of(other) });
        self.bases.set(bases.collect());
        self.replicas[number].server = Some(server);
    }

    /// Whether PostgreSQL runs from programs of this machine, and not in a container.
    pub fn can_fail_over(&self) -> bool {
        self.postgres.directory().join("postgres-server/programs").exists()
    }

    /// Starts a replica of the primary, and waits until it has all that was committed; commits wait for it
    /// from then on.
    async fn start_standby(&mut self) {
        let url = self.setting("DATABASE_URL");
        let port = place(url).rsplit_once(':').expect("a port").1;
        let standby = Service::replica_of_postgres(port).await;
        let mut primary = PgConnection::connect(url).await.expect("a connection");
        synchronize(&mut primary, "'*'").await;
        let last: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
            .fetch_one(&mut primary)
            .await
            .expect("a position");
        let has_all = "SELECT count(*) = 1 FROM pg_stat_replication
                        WHERE sync_state = 'sync' AND flush_lsn >= $1::pg_lsn";
        eventually("a synchronous replica", async || {
            let has_all = sqlx::query_scalar::<_, bool>(has_all).bind(&last);
            has_all.fetch_one(&mut primary).await.expect("an answer")
        })
        .await;
        self.standby = Some(standby);
    }

    /// Kills the primary, makes its replica the primary and leads all links there; gives the moment of the
    /// kill. Afterwards the new primary has a replica.
    pub async fn fail_over(&mut self) -> Instant {
        let standby = self.standby.take().expect("a replica");
        let ended = Instant::now();
        self.postgres.crash().await;
        standby.promote().await;
        let url = standby.address("TEST_DATABASE_URL").to_owned();
        // No replica is left that commits could wait for.
        let mut primary = PgConnection::connect(&url).await.expect("a connection");
        synchronize(&mut primary, "''").await;
        for replica in &self.replicas {
            let link = replica.link(Link::Postgres);
            link.cut();
            link.lead_to(place(&url));
            link.mend();
        }
        self.names.set("DATABASE_URL", &url);
        self.postgres = standby;
        ended
    }

    /// Gives the primary a replica again, if a failover took it.
    pub async fn complete(&mut self) {
        if self.standby.is_none() && self.can_fail_over() {
            self.start_standby().await;
        }
    }

    /// A setting that all replicas have, or where a server is past the proxies.
    pub fn setting(&self, name: &str) -> &str {
        self.names.setting(name)
    }

    /// What `airline-booking audit` says: its exit code and its lines.
    pub async fn audit(&self) -> (i32, String) {
        run_with(self.directory.path(), &self.names.settings(), &["audit"]).await
    }
}

/// Sets which replicas commits wait for.
async fn synchronize(primary: &mut PgConnection, names: &'static str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = {names}");
    primary.execute(AssertSqlSafe(set)).await.expect("set");
    primary.execute("SELECT pg_reload_conf()").await.expect("reloaded");
}

/// Host and port of a database's URL.
fn place(database: &str) -> &str {
    let place = database.split_once('@').expect("a user").1;
    place.split_once('/').expect("a database").0
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
