//! What was measured: a table for people, JSON for machines, a chart of the ratios.

use super::load::Load;
use super::process::Taken;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// All rows.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Measured>,
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
    /// How long the whole took, in seconds.
    took: Option<f64>,
    cpu_seconds: Option<f64>,
    peak_mib: Option<f64>,
    budget: String,
}

impl Measured {
    /// A row of loads and, if there is a baseline, their ratios to it.
    pub fn ratio(row: &str, loads: &[Load], ratios: &[f64], budget: &str, taken: Taken) -> Self {
        let of = |field: fn(&Load) -> f64| median(&loads.iter().map(field).collect::<Vec<_>>());
        Self {
            row: row.to_owned(),
            value: of(|load| load.rate),
            unit: "/s".to_owned(),
            ratio: (!ratios.is_empty()).then(|| median(ratios)),
            ratios: ratios.to_vec(),
            p50_ms: Some(of(|load| load.p50)),
            p99_ms: Some(of(|load| load.p99)),
            took: None,
            cpu_seconds: Some(taken.cpu.as_secs_f64()),
            peak_mib: Some(taken.peak_mib),
            budget: budget.to_owned(),
        }
    }

    /// A row whose budget is how long the whole took, in seconds.
    #[must_use]
    pub fn in_seconds(self, took: f64) -> Self {
        Self { took: Some(took), ..self }
    }

    /// A row that is one number.
    pub fn plain(row: &str, value: f64, unit: &str, budget: &str) -> Self {
        let (row, unit, budget) = (row.to_owned(), unit.to_owned(), budget.to_owned());
        Self { row, value, unit, budget, ..Self::default() }
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

    /// Prints the table; writes it, its JSON and the chart into a folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let table = self.table();
        writeln!(std::io::stdout(), "\n{table}")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("table.md"), &table)?;
        std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        std::fs::write(folder.join("ratios.svg"), self.chart())?;
        writeln!(std::io::stdout(), "written to {}", folder.display())?;
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| row | measured | ratio (turns) | p50 | p99 | service: CPU, peak memory | budget |\n\
             |---|---|---|---|---|---|---|\n",
        );
        let shown = |value: Option<f64>, unit: &str| {
            value.map_or_else(String::new, |value| format!("{value:.1} {unit}"))
        };
        for row in &self.rows {
            let measured = match row.took {
                Some(took) => format!("{took:.1} s ({:.0}{})", row.value, row.unit),
                None if row.unit == "/s" => format!("{:.0}{}", row.value, row.unit),
                None => format!("{:.1} {}", row.value, row.unit),
            };
            let turns: Vec<_> = row.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let ratio = row.ratio.map_or_else(String::new, |ratio| {
                format!("**{ratio:.2} ×** ({})", turns.join(", "))
            });
            let taken = match (row.cpu_seconds, row.peak_mib) {
                (Some(cpu), Some(peak)) => format!("{cpu:.1} s, {peak:.0} MiB"),
                _ => String::new(),
            };
            let (p50, p99) = (shown(row.p50_ms, "ms"), shown(row.p99_ms, "ms"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {} | {measured} | {ratio} | {p50} | {p99} | {taken} | {} |",
                row.row, row.budget
            );
        }
        table
    }

    /// A bar for each ratio; the line is the baseline.
    fn chart(&self) -> String {
        let rows: Vec<_> =
            self.rows.iter().filter_map(|row| Some((&row.row, row.ratio?))).collect();
        let most = rows.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
        let (left, width, line) = (330.0, 520.0, 28.0);
        let height = line * rows.len() as f64 + 40.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"940\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n<title>Ratio to the baseline</title>\n"
        );
        for (number, (name, ratio)) in rows.iter().enumerate() {
            let (y, bar) = (20.0 + line * number as f64, width * ratio / most);
            let text = y + 14.0;
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\n\
                 <rect x=\"{left}\" y=\"{y}\" width=\"{bar:.0}\" height=\"20\" fill=\"#3b7ea1\"/>\n\
                 <text x=\"{:.0}\" y=\"{text}\">{ratio:.2} ×</text>\n",
                left - 8.0,
                left + bar + 6.0
            );
        }
        let one = left + width / most;
        let _ = write!(
            svg,
            "<line x1=\"{one:.0}\" x2=\"{one:.0}\" y1=\"10\" y2=\"{height}\" stroke=\"#c33\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" fill=\"#c33\">baseline</text>\n</svg>\n",
            one + 4.0,
            height - 6.0
        );
        svg
    }
}
