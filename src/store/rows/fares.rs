//! Rows of fare rules.

use super::{Cell, instant};
use crate::domain::{Currency, FareRowText, FareRules, Invalid, Timestamp};
use crate::store::StoreError;

/// Name, version, rows as JSON, when it was written.
pub(in crate::store) type FareRow = (String, i64, String, i64);

/// The rules of a row, with fees in a currency, and when they were written.
pub(in crate::store) fn fare_rules(
    (name, version, rows, created_at): FareRow,
    currency: Currency,
) -> Result<(Timestamp, FareRules), StoreError> {
    let cell = Cell { table: "fare_rules", row: format!("{name}/{version}") };
    let rows: Vec<FareRowText> = cell.read("rows", serde_json::from_str(&rows).ok())?;
    let rules = FareRules::checked(&name, version, &rows, currency, Invalid::default());
    Ok((cell.read("created_at", instant(created_at))?, cell.read("rows", rules.ok())?))
}

/// The version that is there without a row: 1 of shipped rules, else 0.
pub(in crate::store) fn shipped_version(rules: &FareRules) -> i64 {
    i64::from(FareRules::is_shipped(&rules.name))
}
