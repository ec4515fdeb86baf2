//! Rows about how long a booking takes to complete when the service does half of what it can.

use super::bookings::Work;
use super::{Bench, CLIENTS, SEATS, SETTLED, WARM_UP};
use crate::client::{self, Pace, Plan};
use crate::http::{self, Connection};
use crate::process::Server;
use crate::report::Measured;
use crate::services::{Deployment, FLIGHTS};
use crate::usage::Meter;
use anyhow::ensure;
use std::time::{Duration, Instant};

pub(super) const ROW: &str = "POST to completed at half load";
pub(super) const SLOW_ROW: &str = "POST to completed at half load, provider of 300 ms";
pub(super) const EMBEDDED_ROW: &str = "POST to completed at half load, embedded";

/// More than are ever busy at once, unless bookings take seconds.
pub(super) const CONNECTIONS: usize = 2_048;

/// How long consumers may take to find their places.
const HEARS_MAX: Duration = Duration::from_secs(30);

/// A prime, so that neighbours in time are not neighbours in the table.
const STRIDE: usize = 7_919;

impl Bench {
    pub(super) async fn completed_at_half_load(&mut self) -> anyhow::Result<()> {
        let sustained = self.sustained_shared().await?;
        let deployment = self.services.shared(SEATS).await?;
        let budget = "p50 < 20 ms, p99 < 150 ms";
        self.completed_at(sustained / 2.0, ROW, budget, deployment).await
    }

    /// The same with a gateway that takes 300 ms for each answer: as many bookings complete, 300 ms later.
    pub(super) async fn slow_provider_at_half_load(&mut self) -> anyhow::Result<()> {
        let sustained = self.sustained_shared().await?;
        let mut deployment = self.services.shared(SEATS).await?;
        deployment.settings.push(("PAYMENT_LATENCY".to_owned(), "300ms".to_owned()));
        self.completed_at(sustained / 2.0, SLOW_ROW, "p50 < 320 ms", deployment).await
    }

    pub(super) async fn embedded_at_half_load(&mut self) -> anyhow::Result<()> {
        let sustained = match self.sustained.embedded {
            Some(rate) => rate,
            None => self.completed_rate(self.services.embedded(SEATS).await?).await?,
        };
        let deployment = self.services.embedded(SEATS).await?;
        self.completed_at(sustained / 2.0, EMBEDDED_ROW, "", deployment).await
    }

    /// Bookings completed a second through Kafka: as measured, or measured now.
    pub(super) async fn sustained_shared(&self) -> anyhow::Result<f64> {
        match self.sustained.shared {
            Some(rate) => Ok(rate),
            None => self.completed_rate(self.services.shared(SEATS).await?).await,
        }
    }

    /// Bookings that a new deployment completes a second, spread over all flights.
    pub(super) async fn completed_rate(&self, deployment: Deployment) -> anyhow::Result<f64> {
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let booked = self.book(&deployment, &[&server], FLIGHTS, CLIENTS, Work::Whole).await?;
        server.stop().await?;
        Ok(booked.completed)
    }

    async fn completed_at(
        &mut self,
        rate: f64,
        row: &str,
        budget: &str,
        deployment: Deployment,
    ) -> anyhow::Result<()> {
        let bar = self.progress(row);
        let settings = deployment.settings_and("MAX_WAITING", "100000");
        let server = Server::start(deployment.directory.path(), &settings).await?;
        hears(&server).await?;
        let pace = Pace::Rate(rate);
        let plan = Plan { pace, time: WARM_UP, connections: CONNECTIONS, wanted: "\"completed\"" };
        client::run(&server.base, plan, request).await?;
        let services = deployment.database.is_some().then_some(&self.services);
        let (mut loads, mut used) = (Vec::new(), Vec::new());
        for _ in 0..self.turns {
            let meter = Meter::start(&[&server], services)?;
            let plan = Plan { time: self.load_for, ..plan };
            let outcome = client::run(&server.base, plan, request).await?;
            used = meter.stop()?;
            outcome.all_are(201)?;
            loads.push(outcome.load(&[201]));
            bar.inc(1);
        }
        server.stop().await?;
        deployment.audit().await?;
        self.report.add(Measured::loads(row, &loads, budget).using(used));
        Ok(())
    }
}

pub(super) fn request(number: usize) -> Vec<u8> {
    let flight = 1 + number * STRIDE % FLIGHTS;
    http::book(flight, 1 + number % 10_000, 1, "Prefer: wait=10\r\n")
}

/// Waits until a caller that waits for a booking to end is answered when it does, and not when the time is
/// up: replicas hear of it by an event, and Kafka lets them listen when its new topic has a leader.
pub(super) async fn hears(server: &Server) -> anyhow::Result<()> {
    tokio::time::sleep(SETTLED).await;
    let mut connection = Connection::open(&http::address(&server.base)?).await?;
    let (began, mut heard) = (Instant::now(), 0);
    while heard < 3 {
        ensure!(began.elapsed() < HEARS_MAX, "nobody is told that bookings end");
        let asked_at = Instant::now();
        let request = http::book(FLIGHTS, 1, 1, "Prefer: wait=1\r\n");
        let answer = connection.ask(&request).await?;
        let in_time = asked_at.elapsed() < Duration::from_millis(900);
        heard = if in_time && answer.holds("\"completed\"") { heard + 1 } else { 0 };
    }
    Ok(())
}
