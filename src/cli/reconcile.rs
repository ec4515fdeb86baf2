//! `reconcile`: compares Stripe's payments and refunds with the database.

use super::{must_exist, say};
use crate::app::{self, ReconcileReport, Repair};
use crate::config::Config;
use crate::domain::Timestamp;
use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct ReconcileArgs {
    /// Compare payments made since this moment, such as 2026-01-31T00:00:00Z [default: 7 days ago]
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Make the service ask Stripe again about payments, reversals and refunds that differ and are still open; moves no
    /// money by itself
    #[arg(long)]
    repair: bool,
}

/// The exit code is 1 if anything differs.
pub(super) async fn reconcile(config: &Config, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    must_exist(config)?;
    let report = app::reconcile_with_stripe(config, args.since, args.repair).await?;
    say(&format!("{}{}", table(&report), verdict(&report)))?;
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each difference; those of one payment stand together, under its reference.
fn table(report: &ReconcileReport) -> String {
    let mut table = String::new();
    if report.differences.is_empty() {
        return table;
    }
    let width = |what: &str| what.chars().count();
    let widest = report.differences.iter().map(|(found, _)| width(&found.what)).max();
    let widest = widest.unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(table, "{:<36}  {:<widest$}  what was done", "payment", "what differs");
    let mut last = None;
    for (found, done) in &report.differences {
        let is_next = last != Some(found.payment);
        let payment = if is_next { found.payment.to_string() } else { String::new() };
        last = Some(found.payment);
        let _ = writeln!(table, "{payment:<36}  {:<widest$}  {}", found.what, in_words(*done));
    }
    table
}

fn in_words(done: Repair) -> &'static str {
    match done {
        Repair::Offered => "nothing: --repair asks Stripe again",
        Repair::Asked => "asked Stripe again",
        Repair::Settled => "nothing: settled meanwhile",
        Repair::Person => "nothing: needs a person",
    }
}

fn verdict(report: &ReconcileReport) -> String {
    let count = |done| report.differences.iter().filter(|(_, its)| *its == done).count();
    let mut words = vec![match report.differences.len() {
        0 => "clean".to_owned(),
        1 => "1 difference".to_owned(),
        n => format!("{n} differences"),
    }];
    let parts = [
        (Repair::Offered, "that --repair asks about again"),
        (Repair::Asked, "asked about again"),
        (Repair::Settled, "settled meanwhile"),
        (Repair::Person, "for a person"),
    ];
    for (done, told) in parts {
        match count(done) {
            0 => {}
            n => words.push(format!("{n} {told}")),
        }
    }
    format!("{} payments compared: {}", report.payments, words.join(", "))
}
