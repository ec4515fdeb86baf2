//! Unreadable rows. A read of many rows leaves them out, so that they do not stop the others.

use crate::rules::Damage;
use crate::store::StoreError;
use crate::store::rows::{Columns, read};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tracing::error;

/// Maximum rows that are remembered and so logged: a damaged table does not flood the log.
const ROWS_MAX: usize = 1_024;

/// How long a row counts as unreadable after its last read. Longer than the sweeper and the relay need to read
/// it again.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// The unreadable rows that this process has read lately. Each is logged once.
#[derive(Default)]
pub(in crate::store) struct Unreadable(Mutex<HashMap<(&'static str, String), Instant>>);

impl Unreadable {
    /// Domain values of the readable rows.
    pub(in crate::store) fn readable<'r, R, T, D>(&self, rows: &'r [D]) -> Vec<T>
    where
        D: sqlx::Row,
        R: Columns + sqlx::FromRow<'r, D>,
        T: TryFrom<R, Error = StoreError>,
        usize: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        rows.iter().filter_map(|row| self.leave_out(read::<R, T, D>(row))).collect()
    }

    /// The value; `None`, and a note, if the row is unreadable.
    pub(in crate::store) fn leave_out<T>(&self, read: Result<T, StoreError>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(&error, Instant::now());
                None
            }
        }
    }

    /// Notes an unreadable row that a batch needs and describes its damage; `None` for other errors.
    pub(in crate::store) fn damage(&self, error: StoreError) -> Option<Damage> {
        self.note(&error, Instant::now());
        let StoreError::Corrupt { table, column, row } = error else { return None };
        Some(Damage { table, column, row })
    }

    fn note(&self, error: &StoreError, now: Instant) {
        let StoreError::Corrupt { table, row, .. } = error else { return };
        let name = (*table, row.clone());
        let mut rows = self.0.lock();
        if let Some(met_at) = rows.get_mut(&name) {
            *met_at = now;
            return;
        }
        if rows.len() >= ROWS_MAX {
            rows.retain(|_, met_at| is_recent(*met_at, now));
        }
        if rows.len() < ROWS_MAX {
            error!(%error, "skipping an unreadable row until it is repaired");
            rows.insert(name, now);
        }
    }

    /// Unreadable rows read lately, for each table that ever had one.
    pub(in crate::store) fn count(&self) -> BTreeMap<&'static str, usize> {
        self.count_at(Instant::now())
    }

    fn count_at(&self, now: Instant) -> BTreeMap<&'static str, usize> {
        let mut count = BTreeMap::new();
        for ((table, _), met_at) in &*self.0.lock() {
            *count.entry(*table).or_default() += usize::from(is_recent(*met_at, now));
        }
        count
    }
}

fn is_recent(met_at: Instant, now: Instant) -> bool {
    now.duration_since(met_at) < KEPT_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt(row: usize) -> Result<(), StoreError> {
        Err(StoreError::Corrupt { table: "payments", column: "method", row: row.to_string() })
    }

    #[test]
    fn a_row_counts_once_until_it_is_no_longer_met() {
        let rows = Unreadable::default();
        assert_eq!(rows.leave_out(Ok(7)), Some(7));
        for _ in 0..3 {
            assert_eq!(rows.leave_out(corrupt(1)), None);
        }
        assert_eq!(rows.count(), BTreeMap::from([("payments", 1)]));
        let later = Instant::now() + KEPT_FOR;
        assert_eq!(rows.count_at(later), BTreeMap::from([("payments", 0)]));
    }

    #[test]
    fn a_damaged_table_takes_no_more_memory_than_the_bound() {
        let rows = Unreadable::default();
        for row in 0..2 * ROWS_MAX {
            rows.leave_out(corrupt(row));
        }
        assert_eq!(rows.count(), BTreeMap::from([("payments", ROWS_MAX)]));
    }
}
