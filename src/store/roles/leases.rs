//! Jobs that one process at a time does.

use crate::store::StoreError;
use async_trait::async_trait;
use std::time::Duration;
use tracing::debug;

/// How often a process tries to get a job that another one holds, and confirms its own lease.
pub const LEASE_INTERVAL: Duration = Duration::from_secs(1);

/// Grants jobs.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Takes a job; `None` if another process holds it.
    async fn lease(&self, job: Job) -> Result<Option<Box<dyn Lease>>, StoreError>;

    /// Waits until this process holds the job.
    async fn wait_for(&self, job: Job) -> Box<dyn Lease> {
        loop {
            match self.lease(job).await {
                Ok(Some(lease)) => return lease,
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, ?job, "the store cannot say which process holds the job");
                }
            }
            tokio::time::sleep(LEASE_INTERVAL).await;
        }
    }
}

/// A held job. Dropping it, or the end of the process, gives it back.
#[async_trait]
pub trait Lease: Send {
    /// Whether this process still holds the job.
    async fn is_held(&mut self) -> bool;
}

/// Returns when this process no longer holds the lease.
pub async fn while_held(mut lease: Box<dyn Lease>) {
    loop {
        tokio::time::sleep(LEASE_INTERVAL).await;
        if !lease.is_held().await {
            return;
        }
    }
}

/// A job that one process at a time does. If two do it for a moment, messages go out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Serving, where topics stay in the process.
    Serve,
    /// Draining the outbox.
    Relay,
    /// Sweeping.
    Sweep,
    /// Sending to webhooks.
    Webhooks,
}

impl Job {
    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Relay => "relay",
            Self::Sweep => "sweep",
            Self::Webhooks => "webhooks",
        }
    }
}
