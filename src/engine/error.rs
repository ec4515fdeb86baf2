//! Errors of the use cases, in the words of the domain. Knows nothing of HTTP.

use crate::rules::Refusal;
use crate::store::StoreError;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules refuse.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many commands wait, or too many commits collide. Nothing was changed; a retry may succeed.
    #[error("too many bookings are requested at the moment; try again")]
    Overloaded,
    /// The service stopped before the outcome was known.
    #[error("the service is stopping")]
    Stopping,
    /// A panic ended the work. The rows do not show that it was written; if the store did not answer, it
    /// may have been.
    #[error(
        "a fault of the service interrupted the request; check whether it was done before repeating it"
    )]
    Panicked,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Error {
    /// Whether the error says that nothing was written.
    pub(super) fn denies_a_write(&self) -> bool {
        match self {
            Self::Stopping | Self::Panicked | Self::Store(StoreError::Unavailable(_)) => false,
            Self::Refused(_)
            | Self::Overloaded
            | Self::Store(
                StoreError::Locked(_)
                | StoreError::TimedOut(_)
                | StoreError::Corrupt { .. }
                | StoreError::Refused(_),
            ) => true,
        }
    }
}
