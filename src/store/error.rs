//! What can go wrong in a store, in words that are not a driver's.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or the connection was lost: what was asked may or may not have happened.
    #[error("the store is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// Another session keeps a row that it needs, and nothing was written. It may be asked again; others
    /// do not have to wait for that.
    #[error("another session keeps a row for too long")]
    Locked(#[source] anyhow::Error),
    /// It was broken off because it took too long, and nothing was written: the store is slow, or one
    /// of many commands makes it so.
    #[error("the store took too long")]
    TimedOut(#[source] anyhow::Error),
    /// A stored row does not say what such a row says.
    #[error("{table}.{column} of row {row} is corrupt")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// The statement itself failed, and nothing was written: a rule of the schema, or a fault of ours.
    #[error("the store refused")]
    Refused(#[source] anyhow::Error),
}
