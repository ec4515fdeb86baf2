//! `cargo bench`: the budgets of the service, each measured beside its baseline in one run.
//!
//! Service, databases and load share the machine, as the budgets want it. Rows and their baselines
//! take turns; the ratio is the median over the turns, so that a machine whose speed drifts is
//! compared with itself.
//!
//!     cargo bench                       # everything; half an hour and more, most of it the scale rows
//!     cargo bench -- --quick            # one short turn of each, under three minutes
//!     cargo bench -- search sell-out    # only the rows whose names hold one of the words
//!     cargo bench -- scale              # ten million flights and bookings
//!     cargo bench -- growth             # throughput and p99 against clients and flights
//!     cargo bench -- --beside BINARY    # this build beside an earlier one; exit code 1 if it is slower
//!
//! With `--features jemalloc` before the `--` it measures the allocator of the image, as
//! `docs/benchmarks.md` does. `--help` lists the words. Needs `wrk` (not with `--beside`), and what `tests/run` needs. Durable commits stay on; the
//! audit follows every run.

mod bare;
mod beside;
mod chart;
mod client;
mod growth_chart;
mod http;
mod load;
mod network;
mod plans;
mod process;
mod report;
mod rows;
mod schedule;
mod sell_out;
mod services;
mod usage;

use clap::Parser;
use report::Report;
use rows::{Bench, Sustained};
use services::Services;
use std::process::ExitCode;
use std::time::Duration;

/// What the words are about, for `--help`.
const WORDS: &str = "\
Words, any part of a row's name; without one every row is measured:
  start       until ready, and memory when idle
  search      cached, beside a bare handler; and at half load
  itineraries connections with two stops, at 50 requests a second
  calendar    the lowest prices of a month, at that rate
  completed   bookings until the last completes, beside pgbench; and at half load
  accepted    bookings accepted with the other roles off, beside pgbench
  embedded    bookings completed on SQLite; and at half load
  replicas    two of them beside one
  spread, one flight
              of those, on 2,200 flights and on one
  orders      orders of two flights completed, beside pgbench; embedded; and the p99 of a quiet
              flight while orders over it and a hot one wait
  half load   how long a search or a booking takes when the service does half of what it can
  listeners   the first of them beside a reader of the log, streams, a webhook, mails, and all;
              not with --quick alone
  at once     1,000 clients that want the same flight
  overload    four times the sustained rate
  sell-out    a day of 2,200 flights, through Kafka and embedded; a quarter of it with --quick
  growth      against 1 to 2,048 clients, and 1 to 2,200 flights; not with --quick alone
  scale       ten million flights and bookings; not with --quick alone

Table, JSON, charts and plans are written to the output folder.";

/// Measures the service beside its baselines.
#[derive(Debug, Parser)]
#[command(after_help = WORDS)]
struct Args {
    /// One short turn of each row
    #[arg(long)]
    quick: bool,
    /// Turns of each row
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Seconds of each load
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Where the table, its JSON and the charts go
    #[arg(long, default_value = "target/bench")]
    output: std::path::PathBuf,
    /// Measure this build beside another (the path of its airline-booking) on the same services,
    /// instead of the rows; exit code 1 if this one is slower. Words: spread, one flight, search
    #[arg(long, value_name = "BINARY")]
    beside: Option<std::path::PathBuf>,
    /// Pairs of turns with --beside; the guard wants 7
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pairs: u16,
    /// Only rows whose names hold one of these words
    words: Vec<String>,
    /// Flights and bookings of the scale rows
    #[arg(long, hide = true, default_value_t = 10_000_000)]
    scale: usize,
    /// Serves a file's bytes and nothing else; the baseline of the cached search
    #[arg(long, hide = true)]
    bare: Option<std::path::PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut args = Args::parse();
    if let Some(file) = args.bare {
        bare::serve(&file).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.quick {
        (args.turns, args.seconds, args.pairs) = (1, 2, 1);
    }
    if !cfg!(feature = "jemalloc") {
        eprintln!(
            "This measures mimalloc; the image has jemalloc: cargo bench --features jemalloc"
        );
    }
    allow_many_connections();
    let earlier = match &args.beside {
        // From here, and not from wherever a deployment runs.
        Some(program) => {
            anyhow::ensure!(program.is_file(), "there is no file {}", program.display());
            Some(std::path::absolute(program)?)
        }
        None => None,
    };
    let services = Services::start().await?;
    let mut bench = Bench {
        services,
        turns: args.turns,
        load_for: Duration::from_secs(args.seconds),
        is_quick: args.quick,
        scale: args.scale,
        report: Report::default(),
        output: args.output,
        words: args.words,
        sustained: Sustained::default(),
    };
    if let Some(earlier) = earlier {
        let is_kept = bench.beside(&earlier, args.pairs.into()).await?;
        return Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let done = bench.run().await;
    // What was measured before a row failed is not lost.
    bench.report.write(&bench.output)?;
    done.map(|()| ExitCode::SUCCESS)
}

/// Raises the limit of open files, which thousands of clients need, as far as the system lets it.
fn allow_many_connections() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};

        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where it can't be raised, the rows that need it fail and say so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
