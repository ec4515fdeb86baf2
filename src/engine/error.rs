//! Why a use case could not be carried out, in domain words. Knows nothing of HTTP.

use crate::rules::Refusal;
use crate::store::StoreError;

/// Why a use case could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// More is asked than can be done now; nothing was changed. Ask again in a moment.
    #[error("more bookings are asked for than can be made just now")]
    Overloaded,
    /// The service stopped before the outcome was known.
    #[error("the service is stopping")]
    Stopping,
    /// A bug of ours ended the work. A look afterwards did not find it done; without an answer of
    /// the store it may have been.
    #[error(
        "a fault of the service interrupted the request; look whether it was done before repeating it"
    )]
    Panicked,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}
