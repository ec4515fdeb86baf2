//! Rows about orders of two flights: how many complete, and what those that wait for a hot flight cost a quiet one.

use super::bookings::Work;
use super::{Bench, CLIENTS, SEATS, SETTLED};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::load::{Load, pgbench_orders};
use crate::process::Server;
use crate::report::Measured;
use crate::services::{Deployment, ENDLESS_CONNECTION, ENDLESS_FLIGHT, FLIGHTS};
use anyhow::{Context, ensure};

pub(super) const ROW: &str = "orders of two flights completed";
pub(super) const EMBEDDED_ROW: &str = "orders of two flights completed, embedded";
pub(super) const QUIET_ROW: &str = "quiet flight beside orders over a hot one";

/// Holds that stand on the hot flight, each of a client that asks again when it is answered.
const HOT_HOLDS: usize = 8_000;

/// The quiet flight: departs after the hot one has arrived.
const QUIET_FLIGHT: usize = ENDLESS_CONNECTION;

/// Bookings of the quiet flight alone, a second.
const QUIET_RATE: f64 = 100.0;

/// Clients whose orders take the hot flight and the quiet one.
const ORDERING: usize = 32;

impl Bench {
    /// Orders on PostgreSQL, beside pgbench with two updates and four inserts on the same tables.
    pub(super) async fn orders(&mut self) -> anyhow::Result<()> {
        let baseline = self.services.shared(SEATS).await?;
        let database = baseline.database.as_deref().context("it is on PostgreSQL")?;
        let (mut ratios, mut loads, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress(ROW);
        for _ in 0..self.turns {
            let usual = pgbench_orders(database, 1..=FLIGHTS, self.load_for).await?;
            let deployment = self.services.shared(SEATS).await?;
            deployment.connect_flights().await?;
            let (load, by) = self.ordered(&deployment).await?;
            ratios.push(load.rate / usual);
            loads.push(load);
            used = by;
            bar.inc(1);
        }
        let row = Measured::loads(ROW, &loads, "");
        self.report.add(row.beside(&ratios).using(used));
        Ok(())
    }

    pub(super) async fn orders_embedded(&mut self) -> anyhow::Result<()> {
        let (mut loads, mut used) = (Vec::new(), Vec::new());
        let bar = self.progress(EMBEDDED_ROW);
        for _ in 0..self.turns {
            let deployment = self.services.embedded(SEATS).await?;
            deployment.connect_flights().await?;
            let (load, by) = self.ordered(&deployment).await?;
            loads.push(load);
            used = by;
            bar.inc(1);
        }
        self.report.add(Measured::loads(EMBEDDED_ROW, &loads, "").using(used));
        Ok(())
    }

    /// A load of orders until the last completes; its rate is that of completed orders.
    async fn ordered(
        &self,
        deployment: &Deployment,
    ) -> anyhow::Result<(Load, Vec<crate::usage::Used>)> {
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let variables = [("FLIGHTS", FLIGHTS.to_string())];
        let script = ("orders.lua", &variables[..]);
        let booked = self.load(deployment, &[&server], script, CLIENTS, Work::Whole).await?;
        ensure!(booked.load.refused == 0, "{} were refused", booked.load.refused);
        server.stop().await?;
        deployment.audit().await?;
        // Bookings are counted, and an order has two.
        Ok((Load { rate: booked.completed / 2.0, ..booked.load }, booked.used))
    }

    /// Bookings of a quiet flight while thousands of holds wait on a hot one and orders take both, beside the same
    /// without these orders.
    pub(super) async fn quiet_flight(&mut self) -> anyhow::Result<()> {
        let (mut ratios, mut loads) = (Vec::new(), Vec::new());
        let bar = self.progress(QUIET_ROW);
        for _ in 0..self.turns {
            let without = self.quiet_load(0).await?;
            let with = self.quiet_load(ORDERING).await?;
            ratios.push(with.p99 / without.p99);
            loads.push(with);
            bar.inc(1);
        }
        let row = Measured::loads(QUIET_ROW, &loads, "p99 ≤ 1.2 × without these orders");
        self.report.add(row.beside(&ratios));
        Ok(())
    }

    async fn quiet_load(&self, ordering: usize) -> anyhow::Result<Load> {
        let deployment = self.services.shared(SEATS).await?;
        deployment.connect_flights().await?;
        let mut settings = deployment.settings_and("MAX_QUEUED_HOLDS", "20000");
        for name in ["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_CLIENT"] {
            settings.push((name.to_owned(), "20000".to_owned()));
        }
        let server = Server::start(deployment.directory.path(), &settings).await?;
        tokio::time::sleep(SETTLED).await;
        let time = self.load_for + 2 * SETTLED;
        let closed = |connections| Plan { pace: Pace::Closed, time, connections, wanted: "" };
        let hot = client::run(&server.base, closed(HOT_HOLDS), |number| {
            http::book(ENDLESS_FLIGHT, 1 + number % 10_000, 1, "")
        });
        let orders = async {
            if ordering == 0 {
                return Ok(None);
            }
            let outcome = client::run(&server.base, closed(ordering), |number| {
                http::order(&[ENDLESS_FLIGHT, QUIET_FLIGHT], 20_000 + number)
            });
            outcome.await.map(Some)
        };
        let quiet = async {
            // The holds stand by then.
            tokio::time::sleep(SETTLED).await;
            let pace = Pace::Rate(QUIET_RATE);
            let plan = Plan { pace, time: self.load_for, connections: 256, wanted: "" };
            client::run(&server.base, plan, |number| {
                http::book(QUIET_FLIGHT, 40_000 + number, 1, "")
            })
            .await
        };
        let (hot, orders, quiet) = tokio::try_join!(hot, orders, quiet)?;
        server.stop().await?;
        ensure!(hot.count(201) > HOT_HOLDS as u64, "the hot flight: {:?}", hot.counts());
        if let Some(orders) = orders {
            ensure!(orders.count(201) > 0, "the orders: {:?}", orders.counts());
        }
        quiet.all_are(201)?;
        Ok(quiet.load(&[201]))
    }
}
