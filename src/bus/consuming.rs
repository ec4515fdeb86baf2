//! What consumers have in common: why they stop reading, and how long they wait before they start again.

use super::BusError;
use crate::store::StoreError;
use std::time::Duration;

/// The pause after the store or the bus failed.
pub const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Why a consumer starts again. The bus delivers again what was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
