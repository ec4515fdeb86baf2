//! Two replicas, one of which is killed now and then, their flights, and the requests to them.

use super::callers::Bases;
use super::process::{Server, http_client};
use super::replicas::Replicas;
use super::{booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use chrono::TimeDelta;
use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The pause before an unanswered request is repeated, at the other replica.
const PAUSE: Duration = Duration::from_millis(20);

/// Attempts at one request before the test fails: a replica that is killed is back within a few seconds.
const ATTEMPTS_MAX: usize = 3_000;

const SETTINGS: [(&str, &str); 3] =
    [("SWEEP_INTERVAL", "1s"), ("MAX_PENDING_PER_USER", "0"), ("RUST_LOG", "error")];

pub struct Airline {
    pub replicas: Replicas,
    pub asker: Asker,
    servers: [Option<Server>; 2],
    directory: tempfile::TempDir,
}

impl Airline {
    /// Starts both, with some settings more.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut replicas = Replicas::new().await;
        for (name, value) in SETTINGS.iter().chain(settings) {
            replicas.set(name, value);
        }
        let asker = Asker { client: http_client(), bases: Bases::new(vec![String::new(); 2]) };
        let directory = tempfile::tempdir().expect("a directory");
        let mut airline = Self { replicas, asker, servers: [None, None], directory };
        airline.start_replica(0).await;
        airline.start_replica(1).await;
        airline
    }

    async fn start_replica(&mut self, number: usize) {
        let server = Server::start(self.directory.path(), &self.replicas.settings()).await;
        let mut bases: Vec<_> = (0..2).map(|other| self.asker.bases.of(other)).collect();
        bases[number].clone_from(&server.base);
        self.asker.bases.set(bases);
        self.servers[number] = Some(server);
    }

    /// `kill -9` of one replica, in turn.
    pub async fn kill(&mut self, turn: usize) {
        self.servers[turn % 2].take().expect("it runs").kill().await;
    }

    /// Starts the one that was killed.
    pub async fn restart(&mut self, turn: usize) {
        self.start_replica(turn % 2).await;
    }
}

/// Sends requests until they are answered.
#[derive(Clone)]
pub struct Asker {
    client: reqwest::Client,
    bases: Bases,
}

impl Asker {
    /// Adds a flight that departs in a month: far enough that seats may gather.
    pub async fn add_flight(&self, seats: i32) -> i64 {
        let mut body = flight(seats);
        body["timestamp"] = json!(SystemClock.now() + TimeDelta::days(30));
        let url = format!("{}/api/v1/flights", self.bases.of(0));
        let created = self.client.post(url).json(&body).send().await.expect("sent");
        let created: Value = created.json().await.expect("JSON");
        created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"))
    }

    /// A replica's origin.
    pub fn base(&self, turn: usize) -> String {
        self.bases.of(turn)
    }

    /// Posts under a key until it is answered. A refusal is its code.
    pub async fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
        rng: &mut Rng,
    ) -> Result<Value, String> {
        self.ask(Method::POST, path, Some(key), body, rng).await
    }

    /// The same with another method, and without a key for a request that may be repeated.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: &Value,
        rng: &mut Rng,
    ) -> Result<Value, String> {
        let first = rng.usize(..2);
        for attempt in first..first + ATTEMPTS_MAX {
            let url = format!("{}/api/v1{path}", self.bases.of(attempt));
            let mut request = self.client.request(method.clone(), url);
            if method != Method::GET {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let Ok(answer) = request.send().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let status = answer.status().as_u16();
            // An answer that was cut off was not given.
            let Ok(answer) = answer.json::<Value>().await else { continue };
            match status {
                200..=202 => return Ok(answer),
                409 => return Err(answer["code"].as_str().unwrap_or_default().to_owned()),
                503 => tokio::time::sleep(PAUSE).await,
                _ => panic!("{status} to {path} {body}: {answer}"),
            }
        }
        panic!("no answer to {path} {body}");
    }

    /// Books seats, paid at once unless `later`. Gives the booking's id.
    pub async fn book(
        &self,
        flight: i64,
        user: i64,
        seats: i32,
        later: bool,
        rng: &mut Rng,
    ) -> Result<i64, String> {
        let mut body = booking(flight, seats);
        body["user_id"] = json!(user);
        body["payment"] = json!(if later { "later" } else { "now" });
        let booked = self.post("/bookings", &format!("book-{user}"), &body, rng).await?;
        Ok(booked["booking_id"].as_i64().expect("an id"))
    }
}
