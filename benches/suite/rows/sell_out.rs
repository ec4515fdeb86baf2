//! Rows about a day that is sold out, in both deployments.

use super::{Bench, SETTLED};
use crate::load::Load;
use crate::process::Server;
use crate::report::Measured;
use crate::sell_out;
use crate::services::{Deployment, FLIGHTS};
use crate::usage::Meter;
use anyhow::ensure;
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// Seats of each flight of a day.
const DAY_SEATS: usize = 186;

/// The same of a quick run, which has no time for a day.
const QUICK_SEATS: usize = 46;

/// How long a day may take to complete.
const DAY_MAX: Duration = Duration::from_secs(300);

impl Bench {
    pub(super) async fn sell_outs(&mut self) -> anyhow::Result<()> {
        let (part, seats) =
            if self.is_quick { ("a quarter of a day", QUICK_SEATS) } else { ("a day", DAY_SEATS) };
        let budget = |day: &'static str| if self.is_quick { "" } else { day };
        let (through_kafka, embedded) = (budget("< 25 s, < 160 MiB"), budget("< 15 s, < 160 MiB"));
        let deployment = self.services.shared(seats).await?;
        let name = format!("sell-out of {part}, through Kafka");
        self.sold_out(&name, &deployment, seats, through_kafka).await?;
        let deployment = self.services.embedded(seats).await?;
        let name = format!("sell-out of {part}, embedded");
        self.sold_out(&name, &deployment, seats, embedded).await
    }

    async fn sold_out(
        &mut self,
        name: &str,
        deployment: &Deployment,
        seats: usize,
        budget: &str,
    ) -> anyhow::Result<()> {
        let bar = ProgressBar::new_spinner().with_message(name.to_owned());
        bar.tick();
        let orders = sell_out::orders(FLIGHTS, seats);
        let count = orders.len() as f64;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        tokio::time::sleep(SETTLED).await;
        let services = deployment.database.is_some().then_some(&self.services);
        let meter = Meter::start(&[&server], services)?;
        let began = Instant::now();
        let sale = sell_out::sell(&server.base, orders).await?;
        while server.counter("bookings_total", "event=\"completed\"").await? < count {
            ensure!(began.elapsed() < DAY_MAX, "bookings stay pending");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let took = began.elapsed().as_secs_f64();
        let used = meter.stop()?;
        server.stop().await?;
        deployment.audit().await?;
        bar.finish_and_clear();
        let (p50, p99) = sale.latency;
        let load = Load { rate: count / took, p50, p99, ..Load::default() };
        let row = format!("{name}: {count} bookings");
        let measured = Measured::loads(&row, &[load], budget).in_seconds(took).using(used);
        self.report.add(measured);
        let answered = sale.answered_after.as_secs_f64();
        self.report.add(Measured::plain(&format!("{name}: all answered"), answered, "s", ""));
        Ok(())
    }
}
