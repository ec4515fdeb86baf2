//! Rows of sales.

use super::Cell;
use crate::domain::{Counted, DaySales, FlightId, SalesAdded, SeatsMoved};
use crate::store::StoreError;
use crate::store::rows::sql::json;
use chrono::NaiveDate;
use std::collections::{BTreeMap, BTreeSet};

/// Flight, its version, the version up to which movements are counted, and later ones (JSON).
pub(in crate::store) type CountedRow = (i64, i64, i64, String);

/// Day, sold, returned; all absent for a flight without sales.
pub(in crate::store) type SalesRow = (Option<String>, Option<i64>, Option<i64>);

/// The flights of movements, ascending.
pub(in crate::store) fn flights_of(moved: &[(SeatsMoved, NaiveDate)]) -> Vec<i64> {
    let ids: BTreeSet<i64> = moved.iter().map(|(moved, _)| moved.flight_id.0).collect();
    ids.into_iter().collect()
}

/// What is counted, by flight. A list of versions that was made unreadable by hand counts as empty.
pub(in crate::store) fn counted(rows: Vec<CountedRow>) -> BTreeMap<FlightId, Counted> {
    let read = |(flight, latest, up_to, versions): CountedRow| {
        let versions = serde_json::from_str(&versions).unwrap_or_default();
        (FlightId(flight), Counted { latest, up_to, versions })
    };
    rows.into_iter().map(read).collect()
}

/// The rows of what is counted now, of flights with something new: flight, version, later versions.
pub(in crate::store) fn noted(
    added: &SalesAdded,
    counted: &BTreeMap<FlightId, Counted>,
) -> Vec<(i64, i64, String)> {
    let flights: BTreeSet<FlightId> = added.keys().map(|(flight, _)| *flight).collect();
    let row = |flight: FlightId| {
        let counted = counted.get(&flight)?;
        Some((flight.0, counted.up_to, json(&counted.versions)))
    };
    flights.into_iter().filter_map(row).collect()
}

/// The rows to add: flight, day, sold, returned.
pub(in crate::store) fn added_rows(added: &SalesAdded) -> Vec<(i64, String, i64, i64)> {
    let row = |(&(flight, day), &(sold, returned)): (&(FlightId, NaiveDate), &(i64, i64))| {
        (flight.0, day.to_string(), sold, returned)
    };
    added.iter().map(row).collect()
}

/// A flight's days; `None` without a row: there is no such flight.
pub(in crate::store) fn days(
    flight: FlightId,
    rows: Vec<SalesRow>,
) -> Result<Option<Vec<DaySales>>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut days = Vec::new();
    for row in rows {
        let (Some(day), Some(sold), Some(returned)) = row else { continue };
        let cell = Cell { table: "sales", row: format!("{flight}/{day}") };
        let date = cell.read("day", day.parse().ok())?;
        days.push(DaySales { date, sold, returned });
    }
    Ok(Some(days))
}
