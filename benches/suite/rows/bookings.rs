//! Rows about a load of bookings, beside PostgreSQL's own way of doing the same writes.

use super::{Bench, CLIENTS, DRAINED_MAX, SEATS, SETTLED};
use crate::load::{Load, pgbench, wrk};
use crate::process::Server;
use crate::report::{Measured, median};
use crate::services::{Deployment, ENDLESS_FLIGHT, FLIGHTS};
use crate::usage::{Meter, Used};
use anyhow::{Context, ensure};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How much of the service's work is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// All of it: bookings complete.
    Whole,
    /// The API's alone: bookings are accepted.
    Api,
}

/// What a load of bookings came to.
pub(super) struct Booked {
    pub load: Load,
    /// Bookings accepted a second, while the load lasted.
    pub accepted: f64,
    /// Bookings completed a second, until the last was.
    pub completed: f64,
    /// What each process took until then.
    pub used: Vec<Used>,
}

impl Bench {
    /// Bookings on PostgreSQL, beside pgbench on the same tables.
    pub(super) async fn bookings(
        &mut self,
        name: &str,
        flights: usize,
        work: Work,
    ) -> anyhow::Result<()> {
        let baseline = self.services.shared(SEATS).await?;
        let database = baseline.database.as_deref().context("it is on PostgreSQL")?;
        let (mut ratios, mut loads, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress(name);
        for _ in 0..self.turns {
            let usual = pgbench(database, booked(flights), self.load_for).await?;
            let deployment = self.services.shared(SEATS).await?;
            let settings = match work {
                Work::Whole => deployment.settings.clone(),
                Work::Api => deployment.settings_and("ROLES", "api"),
            };
            let server = Server::start(deployment.directory.path(), &settings).await?;
            let booked = self.book(&deployment, &[&server], flights, CLIENTS, work).await?;
            let rate = match work {
                Work::Whole => booked.completed,
                Work::Api => booked.accepted,
            };
            ratios.push(rate / usual);
            loads.push(Load { rate, ..booked.load });
            used = booked.used;
            server.stop().await?;
            if matches!(work, Work::Whole) {
                deployment.audit().await?;
            }
            bar.inc(1);
        }
        let budget = match (work, flights) {
            (Work::Whole, 1) => "≥ 7 × pgbench",
            (Work::Whole, _) => "≥ 1.5 × pgbench",
            (Work::Api, 1) => "≥ 20 × pgbench",
            (Work::Api, _) => "≥ 4 × pgbench",
        };
        if matches!(work, Work::Whole) && flights == FLIGHTS {
            self.sustained.shared = Some(median_rate(&loads));
        }
        let row = Measured::loads(&format!("bookings {name}"), &loads, budget);
        self.report.add(row.beside(&ratios).using(used));
        Ok(())
    }

    pub(super) async fn bookings_embedded(
        &mut self,
        name: &str,
        flights: usize,
    ) -> anyhow::Result<()> {
        let (mut loads, mut used) = (Vec::new(), Vec::new());
        let bar = self.progress(name);
        for _ in 0..self.turns {
            let deployment = self.services.embedded(SEATS).await?;
            let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
            let booked = self.book(&deployment, &[&server], flights, CLIENTS, Work::Whole).await?;
            loads.push(Load { rate: booked.completed, ..booked.load });
            used = booked.used;
            server.stop().await?;
            deployment.audit().await?;
            bar.inc(1);
        }
        if flights == FLIGHTS {
            self.sustained.embedded = Some(median_rate(&loads));
        }
        let row = Measured::loads(&format!("bookings {name}"), &loads, "");
        self.report.add(row.using(used));
        Ok(())
    }

    /// Two replicas beside one, on the same PostgreSQL.
    pub(super) async fn two_replicas(&mut self, name: &str, flights: usize) -> anyhow::Result<()> {
        let (mut ratios, mut loads, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress(name);
        for _ in 0..self.turns {
            let mut rates = Vec::new();
            for replicas in [1, 2] {
                let deployment = self.services.shared(SEATS).await?;
                let mut servers = Vec::new();
                for _ in 0..replicas {
                    let directory = deployment.directory.path();
                    servers.push(Server::start(directory, &deployment.settings).await?);
                }
                let all: Vec<_> = servers.iter().collect();
                let booked = self.book(&deployment, &all, flights, CLIENTS, Work::Whole).await?;
                ensure!(booked.load.refused == 0, "{} were refused", booked.load.refused);
                rates.push(booked.completed);
                if replicas == 2 {
                    loads.push(Load { rate: booked.completed, ..booked.load });
                    used = booked.used;
                }
                for server in servers {
                    server.stop().await?;
                }
                deployment.audit().await?;
            }
            ratios.push(rates[1] / rates[0]);
            bar.inc(1);
        }
        let row = format!("bookings, two {name}");
        let row = Measured::loads(&row, &loads, "≥ 0.9 × one");
        self.report.add(row.beside(&ratios).using(used));
        Ok(())
    }

    /// A load of bookings on all servers at once, and the wait for the last to complete.
    pub(super) async fn book(
        &self,
        deployment: &Deployment,
        servers: &[&Server],
        flights: usize,
        clients: usize,
        work: Work,
    ) -> anyhow::Result<Booked> {
        let first = *booked(flights).start();
        let variables = [("FIRST_FLIGHT", first.to_string()), ("FLIGHTS", flights.to_string())];
        self.load(deployment, servers, ("bookings.lua", &variables), clients, work).await
    }

    /// The same for a script of `wrk`, with its environment.
    pub(super) async fn load(
        &self,
        deployment: &Deployment,
        servers: &[&Server],
        script: (&str, &[(&str, String)]),
        clients: usize,
        work: Work,
    ) -> anyhow::Result<Booked> {
        tokio::time::sleep(SETTLED).await;
        let held_before = count(servers, "held").await?;
        let completed_before = count(servers, "completed").await?;
        let services = deployment.database.is_some().then_some(&self.services);
        let meter = Meter::start(servers, services)?;
        let began = Instant::now();
        let loads = servers
            .iter()
            .map(|server| wrk(&server.base, clients / servers.len(), self.load_for, Some(script)));
        let loads = futures::future::try_join_all(loads).await?;
        let loaded_for = began.elapsed().as_secs_f64();
        let accepted = count(servers, "held").await? - held_before;
        if matches!(work, Work::Whole) {
            all_complete(servers, completed_before + accepted).await?;
        }
        let completed = accepted / began.elapsed().as_secs_f64();
        let used = meter.stop()?;
        let load = Load {
            rate: loads.iter().map(|load| load.rate).sum(),
            p50: loads.iter().map(|load| load.p50).fold(0.0, f64::max),
            p99: loads.iter().map(|load| load.p99).fold(0.0, f64::max),
            p999: None,
            refused: loads.iter().map(|load| load.refused).sum(),
        };
        Ok(Booked { load, accepted: accepted / loaded_for, completed, used })
    }
}

/// The flights of a load on so many: of one, that which has no end of seats.
fn booked(flights: usize) -> RangeInclusive<usize> {
    if flights == 1 { ENDLESS_FLIGHT..=ENDLESS_FLIGHT } else { 1..=flights }
}

fn median_rate(loads: &[Load]) -> f64 {
    median(&loads.iter().map(|load| load.rate).collect::<Vec<_>>())
}

/// How often bookings of these servers came to that.
pub(super) async fn count(servers: &[&Server], event: &str) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for server in servers {
        sum += server.counter("bookings_total", &format!("event=\"{event}\"")).await?;
    }
    Ok(sum)
}

/// Waits until so many bookings of these servers have completed.
pub(super) async fn all_complete(servers: &[&Server], wanted: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + DRAINED_MAX;
    while count(servers, "completed").await? < wanted {
        ensure!(Instant::now() < deadline, "bookings stay pending");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
