//! Rows about searches that the cache answers: as many as there can be, beside a bare handler, and
//! how long they take at half of that.

use super::{Bench, WARM_UP};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::load::wrk;
use crate::process::Server;
use crate::report::{Measured, median};
use crate::usage::Meter;
use anyhow::ensure;
use tokio::process::Command;

pub(super) const ROW: &str = "cached search, 32 connections";
pub(super) const HALF_LOAD_ROW: &str = "cached search at half load";

/// What the machine itself does to a latency at that rate.
const BARE_ROW: &str = "the bare handler at that rate";

const CONNECTIONS: usize = 32;

/// A question with one flight in its answer.
pub(super) const PATH: &str = "/api/v1/flights/search?source=S1&destination=D1&date=2030-06-01";

impl Bench {
    pub(super) async fn cached_search(&mut self) -> anyhow::Result<()> {
        let deployment = self.services.embedded(180).await?;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let url = format!("{}{PATH}", server.base);
        let file = deployment.directory.path().join("answer.json");
        std::fs::write(&file, http::fetch(&server.base, PATH).await?)?;
        let mut bare = Command::new(std::env::current_exe()?);
        bare.arg("--bare").arg(&file);
        let bare = Server::spawn(bare).await?;

        let (mut ratios, mut loads, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress(ROW);
        for _ in 0..self.turns {
            let baseline = wrk(&bare.base, CONNECTIONS, self.load_for, None).await?;
            let meter = Meter::start(&[&server], None)?;
            let load = wrk(&url, CONNECTIONS, self.load_for, None).await?;
            used = meter.stop()?;
            ensure!(load.refused == 0, "{} searches failed", load.refused);
            ratios.push(load.rate / baseline.rate);
            loads.push(load);
            bar.inc(1);
        }
        if self.wants(ROW) {
            let row = Measured::loads(ROW, &loads, "≥ 0.8 × bare axum");
            self.report.add(row.beside(&ratios).using(used));
        }
        if self.wants(HALF_LOAD_ROW) {
            let rates: Vec<_> = loads.iter().map(|load| load.rate).collect();
            let rate = median(&rates) / 2.0;
            self.at_rate(rate, HALF_LOAD_ROW, "p99 < 1 ms", (&server, PATH)).await?;
            self.at_rate(rate, BARE_ROW, "", (&bare, "/")).await?;
        }
        server.stop().await
    }

    async fn at_rate(
        &mut self,
        rate: f64,
        row: &str,
        budget: &str,
        (server, path): (&Server, &'static str),
    ) -> anyhow::Result<()> {
        let pace = Pace::Rate(rate);
        let plan = Plan { pace, time: WARM_UP, connections: CONNECTIONS, wanted: "" };
        let (mut loads, mut used) = (Vec::new(), Vec::new());
        let bar = self.progress(row);
        client::run(&server.base, plan, move |_| http::get(path)).await?;
        for _ in 0..self.turns {
            let meter = Meter::start(&[server], None)?;
            let plan = Plan { time: self.load_for, ..plan };
            let outcome = client::run(&server.base, plan, move |_| http::get(path)).await?;
            used = meter.stop()?;
            outcome.all_are(200)?;
            loads.push(outcome.load(&[200]));
            bar.inc(1);
        }
        self.report.add(Measured::loads(row, &loads, budget).using(used));
        Ok(())
    }
}
