//! The rows: each measures the service and its baseline in turns, and reports the ratio.

use super::load::{Load, pgbench, wrk};
use super::process::{Server, Taken};
use super::report::{Measured, Report, median};
use super::sell_out;
use super::services::{Deployment, ENDLESS_FLIGHT, FLIGHTS, Services};
use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Clients of a load of bookings.
const CLIENTS: usize = 256;

/// Seats of each flight under a load of bookings: as many as one can have.
const SEATS: usize = 10_000;

/// Seats of each flight of a day that is sold out.
const DAY_SEATS: usize = 186;

/// What is measured, and what was.
pub struct Bench {
    pub services: Services,
    pub turns: usize,
    pub load_for: Duration,
    pub report: Report,
    pub words: Vec<String>,
}

/// What a load of bookings came to.
struct Booked {
    load: Load,
    /// Bookings accepted a second, while the load lasted.
    accepted: f64,
    /// Bookings completed a second, until the last was.
    completed: f64,
}

impl Bench {
    /// Measures every row that is wanted.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        if self.wants("start") {
            self.start_and_memory().await?;
        }
        if self.wants("search") {
            self.cached_search().await?;
        }
        for (name, flights) in [("spread over 2,200 flights", FLIGHTS), ("on one flight", 1)] {
            if self.wants(&format!("completed {name}")) {
                self.bookings(&format!("completed {name}"), flights, Work::Whole).await?;
            }
            if self.wants(&format!("accepted {name}")) {
                self.bookings(&format!("accepted {name}"), flights, Work::Api).await?;
            }
            if self.wants(&format!("embedded {name}")) {
                self.bookings_embedded(&format!("embedded {name}"), flights).await?;
            }
            if self.wants(&format!("replicas {name}")) {
                self.two_replicas(&format!("replicas {name}"), flights).await?;
            }
        }
        if self.wants("sell-out") {
            let shared = self.services.shared(DAY_SEATS).await?;
            self.day_sold_out("sell-out of a day, through Kafka", &shared, "< 25 s").await?;
            let embedded = self.services.embedded(DAY_SEATS).await?;
            self.day_sold_out("sell-out of a day, embedded", &embedded, "< 15 s").await?;
        }
        Ok(())
    }

    fn wants(&self, row: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| row.contains(word.as_str()))
    }

    fn progress(&self, row: &str) -> ProgressBar {
        let bar = ProgressBar::new(self.turns as u64);
        bar.set_style(
            indicatif::ProgressStyle::with_template("{msg:44} {pos}/{len} [{elapsed}]")
                .expect("the template is sound"),
        );
        bar.set_message(row.to_owned());
        bar.tick();
        bar
    }

    async fn start_and_memory(&mut self) -> anyhow::Result<()> {
        let (mut first, mut after, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress("start and memory");
        for _ in 0..self.turns {
            let directory = tempfile::tempdir()?;
            for ready in [&mut first, &mut after] {
                // With the sample flights, as the first command of the README does it.
                let mut command = Command::new(super::process::BINARY);
                command.env_clear().current_dir(directory.path());
                command.envs([("SERVER_PORT", "0"), ("LOG_FORMAT", "json"), ("RUST_LOG", "warn")]);
                let server = Server::spawn(command).await?;
                ready.push(server.ready_after.as_secs_f64() * 1_000.0);
                tokio::time::sleep(Duration::from_millis(500)).await;
                idle.push(server.taken()?.now_mib);
                server.stop().await?;
            }
            bar.inc(1);
        }
        for (name, values, unit, budget) in [
            ("ready, first start with samples", &first, "ms", "< 300 ms"),
            ("ready, later starts", &after, "ms", "< 100 ms"),
            ("memory, idle and embedded", &idle, "MiB", "< 40 MiB"),
        ] {
            self.report.add(Measured::plain(name, median(values), unit, budget));
        }
        Ok(())
    }

    async fn cached_search(&mut self) -> anyhow::Result<()> {
        let deployment = self.services.embedded(180).await?;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let path = "/api/v1/flights/search?source=S1&destination=D1&date=2030-06-01";
        let url = format!("{}{path}", server.base);
        let file = deployment.directory.path().join("answer.json");
        std::fs::write(&file, reqwest::get(&url).await?.bytes().await?)?;
        let mut bare = Command::new(std::env::current_exe()?);
        bare.arg("--bare").arg(&file);
        let bare = Server::spawn(bare).await?;

        let (mut ratios, mut loads) = (Vec::new(), Vec::new());
        let bar = self.progress("cached search");
        for _ in 0..self.turns {
            let baseline = wrk(&bare.base, 32, self.load_for, None).await?;
            let load = wrk(&url, 32, self.load_for, None).await?;
            ensure!(load.refused == 0, "{} searches failed", load.refused);
            ratios.push(load.rate / baseline.rate);
            loads.push(load);
            bar.inc(1);
        }
        let taken = server.taken()?;
        let row = "cached search, 32 connections";
        self.report.add(Measured::ratio(row, &loads, &ratios, "≥ 0.8 × bare axum", taken));
        server.stop().await
    }

    /// Bookings on PostgreSQL, beside pgbench on the same tables.
    async fn bookings(&mut self, name: &str, flights: usize, work: Work) -> anyhow::Result<()> {
        let baseline = self.services.shared(SEATS).await?;
        let database = baseline.database.as_deref().context("it is on PostgreSQL")?;
        let (mut ratios, mut loads, mut taken) = (Vec::new(), Vec::new(), Taken::default());
        let bar = self.progress(name);
        for _ in 0..self.turns {
            let usual = pgbench(database, flights, self.load_for).await?;
            let deployment = self.services.shared(SEATS).await?;
            let settings = match work {
                Work::Whole => deployment.settings.clone(),
                Work::Api => deployment.settings_and("ROLES", "api"),
            };
            let server = Server::start(deployment.directory.path(), &settings).await?;
            let booked = self.book(&[&server], flights, work).await?;
            let rate = match work {
                Work::Whole => booked.completed,
                Work::Api => booked.accepted,
            };
            ratios.push(rate / usual);
            loads.push(Load { rate, ..booked.load });
            taken = server.taken()?;
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
        self.report.add(Measured::ratio(
            &format!("bookings {name}"),
            &loads,
            &ratios,
            budget,
            taken,
        ));
        Ok(())
    }

    async fn bookings_embedded(&mut self, name: &str, flights: usize) -> anyhow::Result<()> {
        let (mut loads, mut taken) = (Vec::new(), Taken::default());
        let bar = self.progress(name);
        for _ in 0..self.turns {
            let deployment = self.services.embedded(SEATS).await?;
            let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
            let booked = self.book(&[&server], flights, Work::Whole).await?;
            loads.push(Load { rate: booked.completed, ..booked.load });
            taken = server.taken()?;
            server.stop().await?;
            deployment.audit().await?;
            bar.inc(1);
        }
        self.report.add(Measured::ratio(&format!("bookings {name}"), &loads, &[], "", taken));
        Ok(())
    }

    /// Two replicas beside one, on the same PostgreSQL.
    async fn two_replicas(&mut self, name: &str, flights: usize) -> anyhow::Result<()> {
        let (mut ratios, mut loads, mut taken) = (Vec::new(), Vec::new(), Taken::default());
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
                let booked =
                    self.book(&servers.iter().collect::<Vec<_>>(), flights, Work::Whole).await?;
                ensure!(booked.load.refused == 0, "{} were refused", booked.load.refused);
                rates.push(booked.completed);
                if replicas == 2 {
                    loads.push(Load { rate: booked.completed, ..booked.load });
                    taken = servers[0].taken()?;
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
        self.report.add(Measured::ratio(&row, &loads, &ratios, "≥ 0.9 × one", taken));
        Ok(())
    }

    /// A load of bookings on all servers at once, and the wait for the last to complete.
    async fn book(
        &self,
        servers: &[&Server],
        flights: usize,
        work: Work,
    ) -> anyhow::Result<Booked> {
        let settled = Duration::from_secs(2);
        // Consumers have joined their groups.
        tokio::time::sleep(settled).await;
        let first = if flights == 1 { ENDLESS_FLIGHT } else { 1 };
        // Without end of seats only where there is PostgreSQL to give them.
        let variables = [("FIRST_FLIGHT", first.to_string()), ("FLIGHTS", flights.to_string())];
        let began = Instant::now();
        let loads = servers.iter().map(|server| {
            let script = Some(("bookings.lua", &variables[..]));
            wrk(&server.base, CLIENTS / servers.len(), self.load_for, script)
        });
        let loads = futures::future::try_join_all(loads).await?;
        let loaded_for = began.elapsed().as_secs_f64();
        let count = async |event: &str| {
            let mut sum = 0.0;
            for server in servers {
                sum += server.counter("bookings_total", &format!("event=\"{event}\"")).await?;
            }
            anyhow::Ok(sum)
        };
        let accepted = count("held").await?;
        if matches!(work, Work::Whole) {
            let deadline = Instant::now() + Duration::from_secs(120);
            while count("completed").await? < accepted {
                ensure!(Instant::now() < deadline, "bookings stay pending");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let completed = accepted / began.elapsed().as_secs_f64();
        let load = Load {
            rate: loads.iter().map(|load| load.rate).sum(),
            p50: loads.iter().map(|load| load.p50).fold(0.0, f64::max),
            p99: loads.iter().map(|load| load.p99).fold(0.0, f64::max),
            refused: loads.iter().map(|load| load.refused).sum(),
        };
        Ok(Booked { load, accepted: accepted / loaded_for, completed })
    }

    async fn day_sold_out(
        &mut self,
        name: &str,
        deployment: &Deployment,
        budget: &str,
    ) -> anyhow::Result<()> {
        let bar = ProgressBar::new_spinner().with_message(name.to_owned());
        bar.tick();
        let orders = sell_out::orders(FLIGHTS, DAY_SEATS);
        let count = orders.len() as f64;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        let sale = sell_out::sell(&server.base, orders).await?;
        while server.counter("bookings_total", "event=\"completed\"").await? < count {
            ensure!(began.elapsed() < Duration::from_secs(300), "bookings stay pending");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let took = began.elapsed().as_secs_f64();
        let taken = server.taken()?;
        server.stop().await?;
        deployment.audit().await?;
        bar.finish_and_clear();
        let (p50, p99) = sale.latency;
        let load = Load { rate: count / took, p50, p99, refused: 0 };
        let row = format!("{name}: {count} bookings");
        let measured = Measured::ratio(&row, &[load], &[], budget, taken);
        self.report.add(measured.in_seconds(took));
        let answered = sale.answered_after.as_secs_f64();
        self.report.add(Measured::plain(&format!("{name}: all answered"), answered, "s", ""));
        Ok(())
    }
}

/// How much of the service's work is done.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// All of it: bookings complete.
    Whole,
    /// The API's alone: bookings are accepted.
    Api,
}
