//! Rows about more work than can be done: what is taken on stays quick, the rest is told so at once.

use super::bookings::{Work, all_complete, count};
use super::{Bench, CLIENTS, SEATS};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::load::Load;
use crate::process::Server;
use crate::report::Measured;
use crate::services::FLIGHTS;
use crate::usage::Meter;
use anyhow::ensure;

/// Times what is sustained.
const FACTOR: f64 = 4.0;

/// More than `MAX_IN_FLIGHT`, so that the service has reason to refuse.
const CONNECTIONS: usize = 4_096;

/// The service's own default; the other rows lift it.
const MAX_IN_FLIGHT: &str = "2048";

impl Bench {
    /// First a closed loop, to know what is sustained, then four times that, on the same server.
    pub(super) async fn overload(&mut self) -> anyhow::Result<()> {
        let bar = self.progress("overload");
        let deployment = self.services.shared(SEATS).await?;
        let settings = deployment.settings_and("MAX_IN_FLIGHT", MAX_IN_FLIGHT);
        let server = Server::start(deployment.directory.path(), &settings).await?;
        let booked = self.book(&deployment, &[&server], FLIGHTS, CLIENTS, Work::Whole).await?;
        let rate = FACTOR * booked.accepted;
        let calm = server.peak_mib()?;
        let (mut accepted, mut shed, mut used) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.turns {
            let time = self.load_for;
            let plan = Plan { pace: Pace::Rate(rate), time, connections: CONNECTIONS, wanted: "" };
            let completed = count(&[&server], "completed").await?;
            let meter = Meter::start(&[&server], Some(&self.services))?;
            let outcome = client::run(&server.base, plan, request).await?;
            used = meter.stop()?;
            let taken_on = outcome.load(&[201]);
            let refused: Load = outcome.load(&[429, 503]);
            ensure!(
                outcome.count(201) + outcome.count(429) + outcome.count(503) == outcome.total(),
                "answers were {:?}",
                outcome.counts()
            );
            all_complete(&[&server], completed + outcome.count(201) as f64).await?;
            accepted.push(taken_on);
            shed.push(refused);
            bar.inc(1);
        }
        let peak = server.peak_mib()?;
        server.stop().await?;
        deployment.audit().await?;
        let row = format!("overload, {rate:.0}/s: accepted");
        self.report.add(Measured::loads(&row, &accepted, "bounded").using(used));
        self.report.add(Measured::loads("overload: shed", &shed, "quickly"));
        self.report.add(Measured::plain("overload: memory before", calm, "MiB", ""));
        self.report.add(Measured::plain("overload: peak memory", peak, "MiB", "< 256 MiB"));
        Ok(())
    }
}

fn request(number: usize) -> Vec<u8> {
    http::book(1 + number * 7_919 % FLIGHTS, 1 + number % 10_000, 1, "")
}
