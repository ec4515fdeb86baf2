//! Claims: they keep a second process from serving where only one can.

use crate::store::sqlite::ServiceClaim;
use crate::store::{Job, Lease, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

/// How often a database's claim is checked.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// How long another session may hold the claim before it counts as lost: longer than a server takes to
/// notice that our previous session has ended.
const CLAIM_LOST_AFTER: Duration = Duration::from_secs(20);

/// The claims of this process; released when dropped.
#[derive(Default)]
pub(super) struct Claims {
    /// On the file of an embedded database.
    pub(super) _file: Option<ServiceClaim>,
    /// On a database whose topics stay in the process.
    pub(super) database: Option<DatabaseClaim>,
}

/// The right to be the only process that serves from a database.
pub(super) struct DatabaseClaim {
    pub(super) lease: Box<dyn Lease>,
    pub(super) store: Arc<dyn Store>,
}

impl Claims {
    /// Resolves when another process has taken over the claim; never, if there is no claim to lose.
    pub(super) async fn lost(&mut self) {
        match &mut self.database {
            Some(claim) => claim.lost().await,
            None => std::future::pending().await,
        }
    }
}

impl DatabaseClaim {
    /// The claim ends with its session, for example when the database restarts. It is then taken again,
    /// unless another process was faster.
    async fn lost(&mut self) {
        let mut refused_at: Option<Instant> = None;
        loop {
            sleep(CLAIM_INTERVAL).await;
            if self.lease.is_held().await {
                continue;
            }
            match self.store.lease(Job::Serve).await {
                Ok(Some(lease)) => {
                    self.lease = lease;
                    refused_at = None;
                    warn!("the claim on the database was lost and taken again");
                }
                Ok(None) => {
                    let since = *refused_at.get_or_insert_with(Instant::now);
                    if since.elapsed() >= CLAIM_LOST_AFTER {
                        return;
                    }
                }
                // A database that does not answer grants no claim to another process either.
                Err(error) => debug!(%error, "the claim on the database could not be taken again"),
            }
        }
    }
}
