//! The role for the key of booking references.

use crate::domain::ReferenceKey;
use crate::store::StoreError;
use async_trait::async_trait;

/// Keeps the database's key of booking references.
#[async_trait]
pub trait ReferenceKeys: Send + Sync + 'static {
    /// The key that the database keeps: the first one that any process offered. Keeps `drawn` if there is none yet.
    async fn reference_key(&self, drawn: ReferenceKey) -> Result<ReferenceKey, StoreError>;
}

/// The kept key.
pub(in crate::store) const KEPT: &str = "SELECT key FROM reference_key";

/// Keeps a key unless there is one. Names the id: SQLite would give a second row the next one, and no conflict.
pub(in crate::store) const KEEP: &str =
    "INSERT INTO reference_key (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

/// The key of a row.
pub(in crate::store) fn key(kept: Vec<u8>) -> Result<ReferenceKey, StoreError> {
    let (table, column) = ("reference_key", "key");
    let key = kept.try_into().map(ReferenceKey);
    key.map_err(|_| StoreError::Corrupt { table, column, row: "1".to_owned() })
}
