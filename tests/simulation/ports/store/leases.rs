//! Jobs that one replica at a time holds.

use super::super::chance::{Chance, Fault};
use super::{Database, SimStore};
use airline_booking::store::{Job, Lease, Leases, StoreError};
use async_trait::async_trait;

#[async_trait]
impl Leases for SimStore {
    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.process.alive().await;
        let session = self.database.rows().lease(job);
        let lease = |session| {
            let (database, chance) = (self.database.clone(), self.chance().clone());
            Box::new(SimLease { database, chance, job, session }) as Box<dyn Lease>
        };
        Ok(session.map(lease))
    }
}

/// A held job. The server frees it when it is dropped, and with it the session of a killed process.
struct SimLease {
    database: Database,
    chance: Chance,
    job: Job,
    session: u64,
}

impl SimLease {
    fn is_ours(&self) -> bool {
        self.database.rows().leases.get(self.job.as_str()) == Some(&self.session)
    }
}

#[async_trait]
impl Lease for SimLease {
    async fn is_held(&mut self) -> bool {
        if self.chance.strikes(Fault::LeaseLost) && self.is_ours() {
            // Another process may take it before this one asks again.
            self.database.end_lease(self.job);
            return true;
        }
        self.is_ours()
    }
}

impl Drop for SimLease {
    fn drop(&mut self) {
        if self.is_ours() {
            self.database.end_lease(self.job);
        }
    }
}
