//! The deployment that a run of chaos owns: servers, replicas, and a proxy on each link between them.

use crate::support::callers::Bases;
use crate::support::kafka::Broker;
use crate::support::process::{Server, run_with};
use crate::support::proxy::Proxy;
use crate::support::redis::Server as RedisServer;
use crate::support::replicas::Replicas;
use crate::support::{flight, process, services::Service};
use serde_json::{Value, json};
use std::fs::File;
use std::net::TcpListener;
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
        let mut deployment = Self { postgres, redis, kafka, bases, replicas, names, directory };
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

    /// A setting that all replicas have, or where a server is past the proxies.
    pub fn setting(&self, name: &str) -> &str {
        self.names.setting(name)
    }

    /// What `airline-booking audit` says: its exit code and its lines.
    pub async fn audit(&self) -> (i32, String) {
        run_with(self.directory.path(), &self.names.settings(), &["audit"]).await
    }
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
