//! The booking engine: the one door to the seats. It queues commands by flight, batches them, and
//! takes each batch through lock, load, [decide](crate::rules::decide) and commit.

mod batch;
mod error;
mod overtaken;
mod parts;
mod queues;
mod renumber;
mod row_cache;
mod scheduler;
mod spans;
mod ticket;
mod waiters;

pub use error::Error;
pub use parts::EngineParts;
pub use scheduler::{Engine, EngineLimits};
pub use waiters::CompletionWaiters;
pub(crate) use waiters::Wait;
