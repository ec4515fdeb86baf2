//! `doctor`: looks at a database of the specified schema before `migrate` adopts it.

use super::say;
use crate::config::{Config, Database};
use crate::store::postgres::{PostgresStore, Symptom};
use anyhow::bail;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints what was found; the exit code is 1 if anything stands in the way of adoption.
pub(super) async fn doctor(config: &Config) -> anyhow::Result<ExitCode> {
    let Database::Postgres(settings) = &config.database else {
        bail!("doctor looks at PostgreSQL; set DB_HOST or DATABASE_URL");
    };
    let Some(symptoms) = PostgresStore::examine(settings).await? else {
        say("the database is not another service's: there is nothing to adopt. `airline-booking \
             audit` checks this one's own")?;
        return Ok(ExitCode::SUCCESS);
    };
    say(&report(&symptoms))?;
    let is_ill = symptoms.iter().any(|symptom| symptom.treatment.is_none());
    Ok(if is_ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(symptoms: &[Symptom]) -> String {
    let mut report = String::new();
    for Symptom { what, treatment, rows, examples } in symptoms {
        let treatment = treatment.unwrap_or("IN THE WAY: put these right first");
        // Writing to a String cannot fail.
        let _ = write!(report, "{rows} {what}\n    {treatment}\n    {}\n", examples.join(", "));
    }
    let ill = symptoms.iter().filter(|symptom| symptom.treatment.is_none()).count();
    report
        + match ill {
            0 => "\n`airline-booking migrate` can adopt this database; no row is lost",
            _ => "\nthe database cannot be adopted as it is",
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symptom(treatment: Option<&'static str>) -> Symptom {
        Symptom { what: "flights", treatment, rows: 2, examples: vec!["flight 1".to_owned()] }
    }

    #[test]
    fn what_is_in_the_way_is_told_apart_from_what_is_treated() {
        let ill = report(&[symptom(Some("cured")), symptom(None)]);
        assert!(ill.contains("cured") && ill.contains("IN THE WAY"), "{ill}");
        assert!(ill.ends_with("cannot be adopted as it is"));
        assert!(report(&[symptom(Some("cured"))]).ends_with("no row is lost"));
    }
}
