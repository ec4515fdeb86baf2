//! Sets of rows as parameters of a statement: an array per column.

use crate::domain::PaymentReference;

/// One column of a set of rows.
pub(super) fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// References as the driver sends them.
pub(super) fn texts<'a>(references: impl IntoIterator<Item = &'a PaymentReference>) -> Vec<String> {
    references.into_iter().map(ToString::to_string).collect()
}
