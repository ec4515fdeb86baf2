//! What two builds were measured at, pair by pair, and whether the later one is as fast.

use super::report::median;
use serde::Serialize;
use std::fmt::Write as _;

/// Processor time a request may grow by this much, unless the pairs do not agree that it grew.
const COST_MAX: f64 = 1.03;

/// A p99 counts as unchanged up to this ratio.
const P99_MAX: f64 = 1.2;

/// What the guard allows of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Bound {
    /// Median at most 1.03, or 1 within the range of the pairs.
    Cost,
    /// Median at most 1.20.
    P99,
    /// Shown to find out why, bound by nothing.
    Detail,
}

/// One quantity, smaller is better, of both builds.
#[derive(Debug, Serialize)]
pub struct Line {
    name: String,
    unit: &'static str,
    bound: Bound,
    earlier: Vec<f64>,
    this: Vec<f64>,
}

/// All lines, in the order in which they were first measured.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    lines: Vec<Line>,
}

impl Comparison {
    /// Adds what one pair measured.
    pub fn add(&mut self, name: &str, unit: &'static str, bound: Bound, earlier: f64, this: f64) {
        let at = self.lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            let (earlier, this) = (Vec::new(), Vec::new());
            self.lines.push(Line { name: name.to_owned(), unit, bound, earlier, this });
            self.lines.len() - 1
        });
        self.lines[at].earlier.push(earlier);
        self.lines[at].this.push(this);
    }

    /// Whether every bound is kept.
    pub fn is_kept(&self) -> bool {
        self.lines.iter().all(Line::is_kept)
    }

    /// The table, and the verdict below it.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| what | earlier | this build | ratio | range | pairs | verdict |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| {} |", line.cells().join(" | "));
        }
        let broken: Vec<_> =
            self.lines.iter().filter(|line| !line.is_kept()).map(|l| &*l.name).collect();
        let _ = match &broken[..] {
            [] => write!(table, "\nVerdict: as fast as the earlier build"),
            slower => {
                write!(table, "\nVerdict: SLOWER than the earlier build: {}", slower.join("; "))
            }
        };
        let pairs = self.lines.iter().map(|line| line.this.len()).min().unwrap_or_default();
        let _ = match pairs {
            7.. => writeln!(table, " ({pairs} pairs)"),
            _ => writeln!(table, " ({pairs} pairs; the guard wants at least 7)"),
        };
        table
    }
}

impl Line {
    fn ratios(&self) -> Vec<f64> {
        self.this.iter().zip(&self.earlier).map(|(this, earlier)| this / earlier).collect()
    }

    fn range(&self) -> (f64, f64) {
        let ratios = self.ratios();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        (least, ratios.into_iter().fold(0.0, f64::max))
    }

    fn is_kept(&self) -> bool {
        let ratio = median(&self.ratios());
        let (least, most) = self.range();
        match self.bound {
            Bound::Cost => ratio <= COST_MAX || (least <= 1.0 && 1.0 <= most),
            Bound::P99 => ratio <= P99_MAX,
            Bound::Detail => true,
        }
    }

    fn cells(&self) -> [String; 7] {
        let ratios = self.ratios();
        let ratio = median(&ratios);
        let (least, most) = self.range();
        let verdict = match self.bound {
            Bound::Detail => "",
            _ if !self.is_kept() => "**slower**",
            Bound::Cost if ratio > COST_MAX => "kept: 1 lies within the range",
            _ => "kept",
        };
        let pairs: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        [
            self.name.clone(),
            format!("{:.1} {}", median(&self.earlier), self.unit),
            format!("{:.1} {}", median(&self.this), self.unit),
            format!("**{ratio:.3}**"),
            format!("{least:.3}–{most:.3}"),
            pairs.join(", "),
            verdict.to_owned(),
        ]
    }
}
