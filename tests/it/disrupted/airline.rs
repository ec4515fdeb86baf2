//! An airline as two replicas, and its flights: some that it will cancel, some onward ones, some that are undisturbed.

use crate::support::callers::Bases;
use crate::support::flight;
use crate::support::process::Server;
use crate::support::replicas::Replicas;
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

/// Seats of a flight: the most that a flight has.
const SEATS: i32 = 10_000;

/// A cancellation at the traveller's wish would cost a fee.
const FARE_RULES: &str = "standard";

/// How long a killed replica is away.
const AWAY: Duration = Duration::from_secs(1);

const SETTINGS: [(&str, &str); 3] =
    [("RUST_LOG", "error"), ("MAX_PENDING_PER_USER", "0"), ("PAYMENT_REDRIVE_AFTER", "5s")];

pub struct Airline {
    pub replicas: Replicas,
    /// Those that run.
    pub bases: Bases,
    pub doomed: Vec<i64>,
    pub onward: Vec<i64>,
    pub undisturbed: Vec<i64>,
}

impl Airline {
    /// Starts both replicas, with so many flights of each kind.
    pub async fn start(doomed: usize, onward: usize, undisturbed: usize) -> Self {
        let replicas = Replicas::new().await;
        let replicas = SETTINGS
            .iter()
            .fold(replicas, |all, (name, value)| all.with(name, value))
            .start(2)
            .await;
        let bases = Bases::new(bases_of(&replicas));
        let mut airline =
            Self { replicas, bases, doomed: vec![], onward: vec![], undisturbed: vec![] };
        airline.doomed = airline.add_flights(doomed, 6).await;
        airline.onward = airline.add_flights(onward, 12).await;
        airline.undisturbed = airline.add_flights(undisturbed, 6).await;
        airline
    }

    /// Flights that fly for an hour at this hour of a distant day.
    async fn add_flights(&self, count: usize, hour: u32) -> Vec<i64> {
        let mut body = flight(SEATS);
        body["timestamp"] = json!(format!("2099-01-20T{hour:02}:00:00Z"));
        body["arrival_timestamp"] = json!(format!("2099-01-20T{:02}:00:00Z", hour + 1));
        (body["taxes"], body["fare_rules"]) = (json!(300), json!(FARE_RULES));
        let body = &body;
        let add = async |number: usize| {
            let post = self.replicas.client.post(self.replicas.url(number % 2, "/api/v1/flights"));
            let made: Value =
                post.json(body).send().await.expect("sent").json().await.expect("JSON");
            made["id"].as_i64().unwrap_or_else(|| panic!("no flight: {made}"))
        };
        join_all((0..count).map(add)).await
    }

    /// Cancels all doomed flights at once, half of them through each replica.
    pub async fn cancel_doomed(&self) {
        let cancel = async |number: usize| {
            let path = format!("/api/v1/flights/{}", self.doomed[number]);
            let put = self.replicas.client.put(self.replicas.url(number % 2, &path));
            let put = put.json(&json!({"flight_status": "cancelled"})).send().await;
            assert_eq!(put.expect("an answer").status(), 200);
        };
        join_all((0..self.doomed.len()).map(cancel)).await;
    }

    /// `kill -9` of the replica that cancels the bookings, and its start.
    pub async fn kill_the_sweeping_one(&mut self) {
        let number = usize::from(!sweeps(&self.replicas.servers[0]).await);
        let killed = self.replicas.servers.remove(number);
        self.bases.set(bases_of(&self.replicas));
        killed.kill().await;
        tokio::time::sleep(AWAY).await;
        self.replicas.start_more(1).await;
        self.bases.set(bases_of(&self.replicas));
    }
}

fn bases_of(replicas: &Replicas) -> Vec<String> {
    replicas.servers.iter().map(|server| server.base.clone()).collect()
}

/// Whether a replica has the job of the sweeper.
async fn sweeps(server: &Server) -> bool {
    let metrics = crate::support::process::http_client().get(format!("{}/metrics", server.base));
    let text = metrics.send().await.expect("an answer").text().await.expect("text");
    text.lines().any(|line| line.contains("job_leader{job=\"sweep\"} 1"))
}
