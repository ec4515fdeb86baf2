//! Why a use case could not be carried out, in domain words. Knows nothing of HTTP.

use crate::booking::Refusal;
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
    /// The service is stopping; nothing was changed.
    #[error("the service is stopping")]
    Stopping,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// What a panic said.
pub fn words_of_panic(cause: &(dyn std::any::Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("?")
}
