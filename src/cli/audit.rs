//! `audit`: checks the invariants over the whole database and prints what it found.

use super::say;
use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database};
use crate::store::Finding;
use anyhow::bail;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Checks everything; the exit code is 1 if anything is violated.
pub(super) async fn audit(config: &Config) -> anyhow::Result<ExitCode> {
    // Opening would create it, and an empty database is always clean.
    if let Database::Sqlite(file) = &config.database
        && !file.exists()
    {
        bail!("there is no database {} (DATABASE_URL)", file.display());
    }
    let store = app::open_store(config, false).await?;
    let findings = store.audit(SystemClock.now()).await?;
    say(&table(&findings))?;
    let clean = findings.iter().all(|finding| finding.violations == 0);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(findings: &[Finding]) -> String {
    let rule_width =
        findings.iter().map(|finding| finding.rule.chars().count()).max().unwrap_or(0).max(4);
    let mut table = format!("    {:<rule_width$}  {:>9}  {:>10}", "rule", "checked", "violations");
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = write!(
            table,
            "\n{:<2}  {:<rule_width$}  {:>9}  {:>10}",
            finding.invariant, finding.rule, finding.checked, finding.violations
        );
        for example in &finding.examples {
            let _ = write!(table, "\n      {example}");
        }
    }
    let violations: i64 = findings.iter().map(|finding| finding.violations).sum();
    let verdict = match violations {
        0 => "clean".to_owned(),
        1 => "1 violation".to_owned(),
        n => format!("{n} violations"),
    };
    table + "\n\n" + &verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(violations: i64, examples: &[&str]) -> Finding {
        Finding {
            invariant: "I2",
            rule: "held seats are those of pending bookings",
            checked: 15,
            violations,
            examples: examples.iter().map(|&example| example.to_owned()).collect(),
        }
    }

    #[test]
    fn a_clean_audit_says_so() {
        assert!(table(&[finding(0, &[])]).ends_with("15           0\n\nclean"));
    }

    #[test]
    fn a_violation_is_shown_with_its_examples() {
        let table = table(&[finding(1, &["flight 3: held 2, pending 1"])]);
        assert!(table.contains("\n      flight 3: held 2, pending 1"));
        assert!(table.ends_with("1 violation"));
    }
}
