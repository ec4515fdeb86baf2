//! `doctor`: checks the database of an earlier service before `migrate` adopts it.

use super::say;
use crate::config::{Config, Database};
use crate::store::postgres::{PostgresStore, Symptom};
use anyhow::bail;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints the findings. The exit code is 1 if one of them prevents the adoption.
pub(super) async fn doctor(config: &Config) -> anyhow::Result<ExitCode> {
    let Database::Postgres(settings) = &config.database else {
        bail!("doctor checks a PostgreSQL database; set DB_HOST or DATABASE_URL");
    };
    let Some(symptoms) = PostgresStore::examine(settings).await? else {
        say(
            "there is nothing to adopt: this is not the database of an earlier service. To check this \
             service's own database, run `airline-booking audit`",
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    say(&report(&symptoms))?;
    let is_ill = symptoms.iter().any(|symptom| symptom.treatment.is_none());
    Ok(if is_ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(symptoms: &[Symptom]) -> String {
    let mut report = String::new();
    for Symptom { what, treatment, rows, examples } in symptoms {
        let treatment = treatment.unwrap_or("IN THE WAY: correct these rows first");
        // Writing to a String cannot fail.
        let _ = write!(report, "{rows} {what}\n    {treatment}\n    {}\n", examples.join(", "));
    }
    let ill = symptoms.iter().filter(|symptom| symptom.treatment.is_none()).count();
    report
        + match ill {
            0 => "\n`airline-booking migrate` can adopt this database; no row will be lost",
            _ => "\nthe database cannot be adopted until these rows are corrected",
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symptom(treatment: Option<&'static str>) -> Symptom {
        Symptom { what: "flights", treatment, rows: 2, examples: vec!["flight 1".to_owned()] }
    }

    #[test]
    fn the_report_distinguishes_obstacles_from_rows_that_migrate_treats() {
        let ill = report(&[symptom(Some("cured")), symptom(None)]);
        assert!(ill.contains("cured") && ill.contains("IN THE WAY"), "{ill}");
        assert!(ill.ends_with("cannot be adopted until these rows are corrected"));
        assert!(report(&[symptom(Some("cured"))]).ends_with("no row will be lost"));
    }
}
