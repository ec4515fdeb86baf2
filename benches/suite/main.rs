//! `cargo bench`: the budgets of the service, each measured beside its baseline in one run.
//!
//! Service, databases and load share the machine, as the budgets want it. Rows and their baselines
//! take turns; the ratio is the median over the turns, so that a machine whose speed drifts is
//! compared with itself.
//!
//!     cargo bench                       # everything, some ten minutes
//!     cargo bench -- --quick            # one short turn of each, under three minutes
//!     cargo bench -- search sell-out    # only the rows whose names hold one of the words
//!
//! Needs `wrk`, and what `tests/run` needs. Durable commits stay on; the audit follows every run.

mod bare;
mod load;
mod process;
mod report;
mod rows;
mod sell_out;
mod services;

use clap::Parser;
use report::Report;
use rows::Bench;
use services::Services;
use std::time::Duration;

/// Measures the service beside its baselines.
#[derive(Debug, Parser)]
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
    /// Where the table, its JSON and the chart go
    #[arg(long, default_value = "target/bench")]
    output: std::path::PathBuf,
    /// Only rows whose names hold one of these words
    words: Vec<String>,
    /// Serves a file's bytes and nothing else; the baseline of the cached search
    #[arg(long, hide = true)]
    bare: Option<std::path::PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if let Some(file) = args.bare {
        return bare::serve(&file).await;
    }
    if args.quick {
        (args.turns, args.seconds) = (1, 3);
    }
    let services = Services::start().await?;
    let mut bench = Bench {
        services,
        turns: args.turns,
        load_for: Duration::from_secs(args.seconds),
        report: Report::default(),
        words: args.words,
    };
    bench.run().await?;
    bench.report.write(&args.output)
}
