//! Rows about a thousand clients that want the same flight at the same moment.

use super::Bench;
use super::half_load::hears;
use crate::client::{self, Outcome, Pace, Plan};
use crate::http;
use crate::process::Server;
use crate::report::{Measured, median};
use crate::usage::Meter;
use anyhow::ensure;
use std::time::Duration;

pub(super) const ROW: &str = "1,000 clients at once on one flight";

const CLIENTS: usize = 1_000;

/// Not the one that shows whether bookings are heard of.
const FLIGHT: usize = 1;

impl Bench {
    pub(super) async fn crowd(&mut self) -> anyhow::Result<()> {
        for (seats, budget) in [
            (1_000, "1,000 completed, none refused"),
            (500, "500 completed, the other 500 refused"),
        ] {
            let row = format!("{ROW} of {seats} seats");
            let bar = self.progress(&row);
            let (mut loads, mut tooks, mut used) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.turns {
                let deployment = self.services.shared(seats).await?;
                let settings = deployment.settings_and("MAX_WAITING", "100000");
                let server = Server::start(deployment.directory.path(), &settings).await?;
                hears(&server).await?;
                let meter = Meter::start(&[&server], Some(&self.services))?;
                let outcome = rush(&server.base).await?;
                used = meter.stop()?;
                server.stop().await?;
                deployment.audit().await?;
                ensure!(
                    outcome.count(201) == seats as u64
                        && outcome.count(409) == (CLIENTS - seats) as u64,
                    "of {CLIENTS} clients for {seats} seats: {:?}",
                    outcome.counts()
                );
                loads.push(outcome.load(&[201]));
                tooks.push(outcome.took.as_secs_f64());
                bar.inc(1);
            }
            let took = median(&tooks);
            self.report.add(Measured::loads(&row, &loads, budget).in_seconds(took).using(used));
        }
        Ok(())
    }
}

/// A seat for each client, all within a millisecond, each on a connection of its own. Only what is
/// answered as completed counts as 201.
async fn rush(base: &str) -> anyhow::Result<Outcome> {
    let time = Duration::from_millis(1);
    let pace = Pace::Rate(CLIENTS as f64 / time.as_secs_f64());
    let plan = Plan { pace, time, connections: CLIENTS, wanted: "\"completed\"" };
    client::run(base, plan, |number| http::book(FLIGHT, number + 1, 1, "Prefer: wait=60\r\n")).await
}
