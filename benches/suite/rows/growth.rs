//! Rows about how throughput and latency change as work grows: against clients, and against flights.

use super::bookings::Work;
use super::{Bench, CLIENTS, SEATS, search, steps};
use crate::growth_chart::{Point, Series};
use crate::load::{Load, wrk};
use crate::process::Server;
use crate::report::Measured;
use crate::services::FLIGHTS;

const CLIENT_COUNTS: [usize; 7] = [1, 4, 16, 64, 256, 1_024, 2_048];
const FLIGHT_COUNTS: [usize; 5] = [1, 10, 100, 1_000, FLIGHTS];

impl Bench {
    pub(super) async fn growth(&mut self) -> anyhow::Result<()> {
        self.searches_by_clients().await?;
        self.accepted_by_clients().await?;
        self.completed_by_flights().await
    }

    async fn searches_by_clients(&mut self) -> anyhow::Result<()> {
        let name = "growth: cached searches, by clients";
        let deployment = self.services.embedded(180).await?;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let url = format!("{}{}", server.base, search::PATH);
        let (bar, mut loads) = (steps(name, CLIENT_COUNTS.len()), Vec::new());
        for clients in CLIENT_COUNTS {
            let load = wrk(&url, clients, self.load_for, None).await?;
            loads.push((clients, load));
            bar.inc(1);
        }
        self.grew(name, &loads);
        server.stop().await
    }

    async fn accepted_by_clients(&mut self) -> anyhow::Result<()> {
        let name = "growth: bookings accepted, by clients";
        let deployment = self.services.shared(SEATS).await?;
        let settings = deployment.settings_and("ROLES", "api");
        let server = Server::start(deployment.directory.path(), &settings).await?;
        let (bar, mut loads) = (steps(name, CLIENT_COUNTS.len()), Vec::new());
        for clients in CLIENT_COUNTS {
            let booked = self.book(&deployment, &[&server], FLIGHTS, clients, Work::Api).await?;
            loads.push((clients, Load { rate: booked.accepted, ..booked.load }));
            bar.inc(1);
        }
        self.grew(name, &loads);
        server.stop().await
    }

    async fn completed_by_flights(&mut self) -> anyhow::Result<()> {
        let name = "growth: bookings completed, by flights, 256 clients";
        let deployment = self.services.shared(SEATS).await?;
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let (bar, mut loads) = (steps(name, FLIGHT_COUNTS.len()), Vec::new());
        for flights in FLIGHT_COUNTS {
            let booked = self.book(&deployment, &[&server], flights, CLIENTS, Work::Whole).await?;
            loads.push((flights, Load { rate: booked.completed, ..booked.load }));
            bar.inc(1);
        }
        self.grew(name, &loads);
        server.stop().await?;
        deployment.audit().await
    }

    /// A row for each size of the work, and a line of the chart.
    fn grew(&mut self, name: &str, loads: &[(usize, Load)]) {
        for (size, load) in loads {
            self.report.add(Measured::loads(&format!("{name}: {size}"), &[*load], ""));
        }
        let name = name.trim_start_matches("growth: ").to_owned();
        let point = |(size, load): &(usize, Load)| Point {
            size: *size as f64,
            rate: load.rate,
            p99_ms: load.p99,
        };
        self.report.grow(Series { name, points: loads.iter().map(point).collect() });
    }
}
