//! This build beside an earlier one, on the same PostgreSQL, Redis and Kafka: what a booking and a
//! cached search cost, in pairs of turns whose order changes with each pair.

use super::bookings::{all_complete, count};
use super::{Bench, CLIENTS, KAFKA_WARM_UPS, SEATS, SETTLED, search, steps};
use crate::beside::{Bound, Comparison};
use crate::client::{self, Pace, Plan};
use crate::http;
use crate::load::Load;
use crate::process::{BINARY, Server};
use crate::services::{Deployment, ENDLESS_FLIGHT, FLIGHTS};
use crate::usage::{self, LOAD, Meter, SERVICE, Used};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Connections of the load of searches.
const SEARCHERS: usize = 32;

/// Load that is discarded at the beginning of each turn: it fills caches, opens connections, and lets
/// PostgreSQL make its plans for tables that are not empty.
const DISCARDED: Duration = Duration::from_secs(2);

/// A prime, so that neighbours in time are not neighbours in the table.
const STRIDE: usize = 7_919;

/// What is asked of both builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spread,
    OneFlight,
    Search,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Spread, Self::OneFlight, Self::Search];

    const fn name(self) -> &'static str {
        match self {
            Self::Spread => "bookings spread over 2,200 flights",
            Self::OneFlight => "bookings on one flight",
            Self::Search => search::ROW,
        }
    }

    /// The request with that number.
    fn request(self, number: usize) -> Vec<u8> {
        let user = 1 + number % 10_000;
        match self {
            Self::Spread => http::book(1 + number * STRIDE % FLIGHTS, user, 1, ""),
            Self::OneFlight => http::book(ENDLESS_FLIGHT, user, 1, ""),
            Self::Search => http::get(search::PATH),
        }
    }
}

/// What one turn came to.
struct Turn {
    load: Load,
    /// Bookings completed, or searches answered.
    done: f64,
    used: Vec<Used>,
}

impl Turn {
    /// Microseconds of processor time for each, of one part or of all but the load.
    fn cost(&self, part: Option<&str>) -> f64 {
        usage::cost(&self.used, part, self.done)
    }
}

impl Bench {
    /// Measures both builds; says whether this one is as fast. The table is printed, and written into
    /// the output folder with its JSON.
    pub async fn beside(&self, earlier: &Path, pairs: usize) -> anyhow::Result<bool> {
        let this = Path::new(BINARY);
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| self.wants(kind.name())).collect();
        anyhow::ensure!(!kinds.is_empty(), "no row's name holds one of these words");
        if kinds.iter().any(|kind| *kind != Kind::Search) {
            // Java compiles what a broker does when it has done it for a while.
            for turn in 0..if self.is_quick { 1 } else { KAFKA_WARM_UPS } {
                let program = if turn % 2 == 0 { this } else { earlier };
                self.turn(program, Kind::Spread).await?;
            }
        }
        let mut comparison = Comparison::default();
        for kind in kinds {
            let bar = steps(kind.name(), pairs);
            for pair in 0..pairs {
                let (before, after);
                if pair % 2 == 0 {
                    before = self.turn(earlier, kind).await?;
                    after = self.turn(this, kind).await?;
                } else {
                    after = self.turn(this, kind).await?;
                    before = self.turn(earlier, kind).await?;
                }
                add(&mut comparison, kind, &before, &after);
                bar.inc(1);
            }
        }
        let table = comparison.table();
        writeln!(std::io::stdout(), "\n{table}")?;
        std::fs::create_dir_all(&self.output)?;
        std::fs::write(self.output.join("beside.md"), &table)?;
        std::fs::write(self.output.join("beside.json"), serde_json::to_vec_pretty(&comparison)?)?;
        Ok(comparison.is_kept())
    }

    /// One build under one load, on a database, topics and groups of its own.
    async fn turn(&self, program: &Path, kind: Kind) -> anyhow::Result<Turn> {
        let deployment = self.services.shared_of(program, SEATS).await?;
        let server = deployment.serve().await?;
        tokio::time::sleep(SETTLED).await;
        let turn = self.measured(&deployment, &server, kind).await?;
        server.stop().await?;
        deployment.audit().await?;
        self.services.drop(deployment).await?;
        Ok(turn)
    }

    async fn measured(
        &self,
        deployment: &Deployment,
        server: &Server,
        kind: Kind,
    ) -> anyhow::Result<Turn> {
        let servers = &[server];
        let (connections, answer) = match kind {
            Kind::Search => (SEARCHERS, 200),
            Kind::Spread | Kind::OneFlight => (CLIENTS, 201),
        };
        let load = async |time| {
            let plan = Plan { pace: Pace::Closed, time, connections, wanted: "" };
            let outcome = client::run(&server.base, plan, move |n| kind.request(n)).await?;
            outcome.all_are(answer)?;
            all_complete(servers, count(servers, "held").await?).await?;
            anyhow::Ok(outcome)
        };
        load(DISCARDED).await?;
        let services = deployment.database.is_some().then_some(&self.services);
        let meter = Meter::start(servers, services)?;
        let outcome = load(self.load_for).await?;
        let used = meter.stop()?;
        Ok(Turn { load: outcome.load(&[answer]), done: outcome.count(answer) as f64, used })
    }
}

/// Adds a pair's lines: what is bound, then what may tell why.
fn add(comparison: &mut Comparison, kind: Kind, earlier: &Turn, this: &Turn) {
    let name = kind.name();
    let mut add = |what: String, unit, bound, of: &dyn Fn(&Turn) -> f64| {
        comparison.add(&format!("{name}: {what}"), unit, bound, of(earlier), of(this));
    };
    match kind {
        Kind::Spread | Kind::OneFlight => {
            add("processor time each".into(), "µs", Bound::Cost, &|turn| turn.cost(None));
        }
        // The others do nothing for a cached search but wait.
        Kind::Search => {
            let of = |turn: &Turn| turn.cost(Some(SERVICE));
            add("processor time each".into(), "µs", Bound::Cost, &of);
        }
    }
    add("p99".into(), "ms", Bound::P99, &|turn| turn.load.p99);
    add("p50".into(), "ms", Bound::Detail, &|turn| turn.load.p50);
    if kind != Kind::Search {
        for used in this.used.iter().filter(|used| used.name != LOAD) {
            let of = |turn: &Turn| turn.cost(Some(used.name));
            add(format!("of that {}", used.name), "µs", Bound::Detail, &of);
        }
    }
}
