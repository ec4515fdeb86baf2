//! `reconcile`: compares Stripe's payments and refunds with the database.

use super::{must_exist, say};
use crate::app;
use crate::config::Config;
use crate::domain::Timestamp;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct ReconcileArgs {
    /// Compare payments made since this moment, such as 2026-01-31T00:00:00Z [default: 7 days ago]
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Make the service ask Stripe again about open payments that differ; moves no money by itself
    #[arg(long)]
    repair: bool,
}

/// The exit code is 1 if anything differs.
pub(super) async fn reconcile(config: &Config, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    must_exist(config)?;
    let done = app::reconcile_with_stripe(config, args.since, args.repair).await?;
    for difference in &done.differences {
        let payment = difference.payment.map(|payment| payment.to_string()).unwrap_or_default();
        say(&format!("{payment}  {}", difference.what))?;
    }
    let verdict = match done.differences.len() {
        0 => "clean".to_owned(),
        1 => "1 difference".to_owned(),
        n => format!("{n} differences"),
    };
    say(&format!("{} payments compared: {verdict}", done.payments))?;
    Ok(if done.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
