//! What was measured: a table for people, JSON for machines, charts.

use super::chart;
use super::growth_chart::{self, Series};
use super::load::Load;
use super::usage::{self, Used};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// All rows, and all lines of the growth chart.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Measured>,
    growth: Vec<Series>,
}

/// One row.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measured {
    row: String,
    /// A second, or in `unit`.
    value: f64,
    unit: String,
    /// To the baseline: the median of the turns, and each.
    ratio: Option<f64>,
    ratios: Vec<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    /// How long the whole took, in seconds.
    took: Option<f64>,
    /// What each process took in the last turn.
    used: Vec<Used>,
    budget: String,
}

impl Measured {
    /// A row of loads: the medians of the turns.
    pub fn loads(row: &str, loads: &[Load], budget: &str) -> Self {
        let of = |field: fn(&Load) -> f64| median(&loads.iter().map(field).collect::<Vec<_>>());
        let p999: Option<Vec<f64>> = loads.iter().map(|load| load.p999).collect();
        Self {
            row: row.to_owned(),
            value: of(|load| load.rate),
            unit: "/s".to_owned(),
            p50_ms: Some(of(|load| load.p50)),
            p99_ms: Some(of(|load| load.p99)),
            p999_ms: p999.map(|values| median(&values)),
            budget: budget.to_owned(),
            ..Self::default()
        }
    }

    /// A row that is one number.
    pub fn plain(row: &str, value: f64, unit: &str, budget: &str) -> Self {
        let (row, unit, budget) = (row.to_owned(), unit.to_owned(), budget.to_owned());
        Self { row, value, unit, budget, ..Self::default() }
    }

    /// Beside a baseline, once a turn.
    #[must_use]
    pub fn beside(self, ratios: &[f64]) -> Self {
        Self { ratio: Some(median(ratios)), ratios: ratios.to_vec(), ..self }
    }

    /// With what each process took.
    #[must_use]
    pub fn using(self, used: Vec<Used>) -> Self {
        Self { used, ..self }
    }

    /// A row whose budget is how long the whole took, in seconds.
    #[must_use]
    pub fn in_seconds(self, took: f64) -> Self {
        Self { took: Some(took), ..self }
    }

    /// Its cells, as the table shows them.
    fn cells(&self) -> [String; 8] {
        let shown = |value: Option<f64>| {
            value.map_or_else(String::new, |value| match value {
                10.0.. => format!("{value:.0} ms"),
                1.0.. => format!("{value:.1} ms"),
                _ => format!("{value:.2} ms"),
            })
        };
        let measured = match self.took {
            Some(took) => format!("{took:.1} s ({:.0}{})", self.value, self.unit),
            None if self.unit == "/s" => format!("{:.0}{}", self.value, self.unit),
            None => format!("{:.1} {}", self.value, self.unit),
        };
        let turns: Vec<_> = self.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let ratio = self
            .ratio
            .map_or_else(String::new, |ratio| format!("**{ratio:.2} ×** ({})", turns.join(", ")));
        [
            self.row.clone(),
            measured,
            ratio,
            shown(self.p50_ms),
            shown(self.p99_ms),
            shown(self.p999_ms),
            usage::line(&self.used),
            self.budget.clone(),
        ]
    }
}

/// The middle one; of two the lower.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

impl Report {
    /// Adds a row.
    pub fn add(&mut self, row: Measured) {
        self.rows.push(row);
    }

    /// Adds a line to the growth chart.
    pub fn grow(&mut self, series: Series) {
        self.growth.push(series);
    }

    /// Prints the table; writes it, its JSON and the charts into a folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let table = self.table();
        writeln!(std::io::stdout(), "\n{table}")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("table.md"), &table)?;
        std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        let ratios: Vec<_> =
            self.rows.iter().filter_map(|row| Some((row.row.as_str(), row.ratio?))).collect();
        if !ratios.is_empty() {
            std::fs::write(folder.join("ratios.svg"), chart::ratios(&ratios))?;
        }
        if !self.growth.is_empty() {
            std::fs::write(folder.join("growth.svg"), growth_chart::draw(&self.growth))?;
        }
        writeln!(std::io::stdout(), "written to {}", folder.display())?;
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| row | measured | ratio (turns) | p50 | p99 | p99.9 | CPU and memory of each | budget |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {} |", row.cells().join(" | "));
        }
        table
    }
}
