//! Sets of rows as parameters of a statement: an array per column.

/// One column of a set of rows.
pub(super) fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// References and other ids as the driver sends them.
pub(super) fn texts<'a, T>(references: impl IntoIterator<Item = &'a T>) -> Vec<String>
where
    T: ToString + 'a,
{
    references.into_iter().map(ToString::to_string).collect()
}
