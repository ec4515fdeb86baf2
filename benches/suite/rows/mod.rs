//! The rows, each in the file of its topic. A row measures the service and its baseline in turns,
//! and reports the ratio.

mod beside;
mod bookings;
mod crowd;
mod growth;
mod half_load;
mod itineraries;
mod listeners;
mod many_bookings;
mod orders;
mod overload;
mod scale;
mod search;
mod sell_out;
mod start;

use super::report::Report;
use super::services::{FLIGHTS, Services};
use bookings::Work;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

/// Clients of a load of bookings.
const CLIENTS: usize = 256;

/// Seats of each flight under a load of bookings: as many as one can have.
const SEATS: usize = 10_000;

/// Until consumers have joined their groups.
const SETTLED: Duration = Duration::from_secs(2);

/// How long bookings may take to complete once no more are placed.
const DRAINED_MAX: Duration = Duration::from_secs(120);

/// How long a load runs before its measured part.
const WARM_UP: Duration = Duration::from_secs(1);

/// Loads that are discarded, until a broker takes no more processor time for a message than it will.
const KAFKA_WARM_UPS: usize = 4;

/// What is measured, and what was.
pub struct Bench {
    pub services: Services,
    pub turns: usize,
    pub load_for: Duration,
    /// One short turn of each row, and none that is long by nature.
    pub is_quick: bool,
    /// Flights and bookings of the scale rows.
    pub scale: usize,
    pub report: Report,
    pub output: PathBuf,
    pub words: Vec<String>,
    /// What the rows at half load take the half of, once it was measured.
    pub sustained: Sustained,
}

/// Bookings completed a second, spread over all flights, in a closed loop.
#[derive(Debug, Default)]
pub struct Sustained {
    shared: Option<f64>,
    embedded: Option<f64>,
}

/// Rows whose bookings go through Kafka.
const ON_KAFKA: [&str; 9] = [
    "completed spread over 2,200 flights",
    "completed on one flight",
    "replicas spread over 2,200 flights",
    "replicas on one flight",
    half_load::ROW,
    half_load::SLOW_ROW,
    orders::ROW,
    orders::QUIET_ROW,
    "sell-out",
];

impl Bench {
    /// Measures every row that is wanted.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        if self.wants("start") {
            self.start_and_memory().await?;
        }
        if self.wants(search::ROW) || self.wants(search::HALF_LOAD_ROW) {
            self.cached_search().await?;
        }
        if self.wants(itineraries::ROW) || self.wants(itineraries::CALENDAR_ROW) {
            self.itineraries().await?;
        }
        if ON_KAFKA.iter().any(|row| self.wants(row)) || self.wants_listeners() {
            // Java compiles what a broker does when it has done it for a while.
            for _ in 0..if self.is_quick { 1 } else { KAFKA_WARM_UPS } {
                self.completed_rate(self.services.shared(SEATS).await?).await?;
            }
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
        if self.wants(orders::ROW) {
            self.orders().await?;
        }
        if self.wants(orders::EMBEDDED_ROW) {
            self.orders_embedded().await?;
        }
        if self.wants(orders::QUIET_ROW) {
            self.quiet_flight().await?;
        }
        if self.wants(half_load::ROW) {
            self.completed_at_half_load().await?;
        }
        if self.wants(half_load::SLOW_ROW) {
            self.slow_provider_at_half_load().await?;
        }
        if self.wants_listeners() {
            self.listeners().await?;
        }
        if self.wants(half_load::EMBEDDED_ROW) {
            self.embedded_at_half_load().await?;
        }
        if self.wants(crowd::ROW) {
            self.crowd().await?;
        }
        if self.wants("overload") {
            self.overload().await?;
        }
        if self.wants("sell-out") {
            self.sell_outs().await?;
        }
        if self.wants_long("growth") {
            self.growth().await?;
        }
        if self.wants_long("scale") {
            self.scale().await?;
        }
        Ok(())
    }

    fn wants(&self, row: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| row.contains(word.as_str()))
    }

    /// Whether rows that take minutes are wanted: `--quick` leaves them out unless they are named.
    fn wants_long(&self, rows: &str) -> bool {
        self.wants(rows) && !(self.is_quick && self.words.is_empty())
    }

    fn progress(&self, row: &str) -> ProgressBar {
        steps(row, self.turns)
    }
}

/// A bar of so many steps.
fn steps(row: &str, count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    bar.set_style(
        ProgressStyle::with_template("{msg:44} {pos}/{len} [{elapsed}]")
            .expect("the template is sound"),
    );
    bar.set_message(row.to_owned());
    bar.tick();
    bar
}
