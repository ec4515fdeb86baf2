//! Rows about itineraries and calendars: how long they take at a fixed rate, on a network with
//! connections.

use super::{Bench, SEATS, WARM_UP};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::network::Network;
use crate::process::{self, Server};
use crate::report::Measured;
use crate::usage::Meter;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;

pub(super) const ROW: &str = "itineraries with two stops, a day of 2,200 flights";
pub(super) const CALENDAR_ROW: &str = "calendar of a month";

const RATE: f64 = 50.0;

const CONNECTIONS: usize = 16;

impl Bench {
    pub(super) async fn itineraries(&mut self) -> anyhow::Result<()> {
        let deployment = self.services.shared(SEATS).await?;
        let network = Arc::new(Network::of_real_departures()?);
        network.write(&deployment.directory.path().join("network.csv"))?;
        let arguments = ["import", "network.csv"];
        process::run(deployment.directory.path(), &deployment.settings, &arguments).await?;
        if let Some(url) = &deployment.database {
            let mut database = PgConnection::connect(url).await?;
            sqlx::raw_sql("VACUUM (ANALYZE) flights").execute(&mut database).await?;
        }
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let itineraries = network.clone();
        let itineraries = move |number| http::get(&itineraries.itineraries(number));
        self.at_fifty(ROW, "p99 < 20 ms", &server, itineraries).await?;
        let calendar = move |number| http::get(&network.calendar(number));
        self.at_fifty(CALENDAR_ROW, "p99 < 50 ms", &server, calendar).await?;
        server.stop().await?;
        deployment.audit().await?;
        self.services.drop(deployment).await
    }

    async fn at_fifty<R>(
        &mut self,
        row: &str,
        budget: &str,
        server: &Server,
        request: R,
    ) -> anyhow::Result<()>
    where
        R: Fn(usize) -> Vec<u8> + Clone + Send + Sync + 'static,
    {
        if !self.wants(row) {
            return Ok(());
        }
        let pace = Pace::Rate(RATE);
        let plan = Plan { pace, time: WARM_UP, connections: CONNECTIONS, wanted: "" };
        let bar = self.progress(row);
        client::run(&server.base, plan, request.clone()).await?;
        let (mut loads, mut used, mut first) = (Vec::new(), Vec::new(), 0);
        for _ in 0..self.turns {
            let meter = Meter::start(&[server], Some(&self.services))?;
            let plan = Plan { time: self.load_for, ..plan };
            let other = request.clone();
            let outcome = client::run(&server.base, plan, move |nth| other(first + nth)).await?;
            used = meter.stop()?;
            outcome.all_are(200)?;
            first += outcome.total() as usize;
            loads.push(outcome.load(&[200]));
            bar.inc(1);
        }
        self.report.add(Measured::loads(row, &loads, budget).using(used));
        Ok(())
    }
}
