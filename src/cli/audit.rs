//! `audit`: checks the invariants over the whole database and prints the findings.

use super::{on_existing_store, say};
use crate::app::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Finding, Store};
use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit code is 1 if an invariant is violated.
pub(super) async fn audit(config: &Config) -> anyhow::Result<ExitCode> {
    on_existing_store(config, Access::Read, async |store, clock| report(&*store, &*clock).await)
        .await
}

async fn report(store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    // Asked before the audit: a service that starts during it has expired no hold yet.
    let is_served = store.is_served().await?;
    let mut findings = store.audit(clock.now()).await?;
    let lapsed = if is_served { 0 } else { forgive_lapsed(&mut findings) };
    let table = table(&findings);
    say(&match lapsed {
        0 => table,
        n => format!(
            "{table}\nno service is running; the next start will expire {n} bookings whose hold has lapsed"
        ),
    })?;
    let clean = findings.iter().all(|finding| finding.violations == 0);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Removes the violations of I5, bookings pending past their hold, and of those rules of I7 that depend on the time:
/// without a running service nothing expires holds and serves lines. Returns the number of holds.
fn forgive_lapsed(findings: &mut [Finding]) -> i64 {
    let mut lapsed = 0;
    for finding in findings.iter_mut().filter(|finding| finding.needs_a_service()) {
        let violations = std::mem::take(&mut finding.violations);
        lapsed += if finding.invariant == "I5" { violations } else { 0 };
        finding.examples.clear();
    }
    lapsed
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
    fn an_audit_without_violations_is_clean() {
        assert!(table(&[finding(0, &[])]).ends_with("15           0\n\nclean"));
    }

    #[test]
    fn lapsed_holds_are_no_violation_while_no_service_runs() {
        let rule = "no booking stays pending past its hold";
        let lapsed = Finding { invariant: "I5", rule, ..finding(3, &["booking 7"]) };
        let mut findings = [finding(1, &["flight 3"]), lapsed];
        assert_eq!(forgive_lapsed(&mut findings), 3);
        assert_eq!(findings[1], Finding { invariant: "I5", rule, ..finding(0, &[]) });
        assert_eq!(findings[0].violations, 1, "other violations remain");
    }

    #[test]
    fn a_violation_is_shown_with_its_examples() {
        let table = table(&[finding(1, &["flight 3: held 2, pending 1"])]);
        assert!(table.contains("\n      flight 3: held 2, pending 1"));
        assert!(table.ends_with("1 violation"));
    }
}
