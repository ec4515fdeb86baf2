//! Jobs, which only one process can have: the one that claimed the file.

use crate::store::sqlite::SqliteStore;
use crate::store::{Job, Lease, Leases, StoreError};
use async_trait::async_trait;

#[async_trait]
impl Leases for SqliteStore {
    async fn lease(&self, _job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        Ok(Some(Box::new(SoleProcess)))
    }
}

/// A job of the only process that serves from the file.
struct SoleProcess;

#[async_trait]
impl Lease for SoleProcess {
    async fn is_held(&mut self) -> bool {
        true
    }
}
