//! The booking engine: every change of a seat goes through it. It queues commands by flight, batches
//! them, and takes each batch through lock, load, [decide](crate::rules::decide) and commit.

mod batch;
mod door;
mod error;
mod guards;
mod job;
mod parts;
mod promotions;
mod queues;
mod row_cache;
mod run;
mod scheduler;
mod waiters;

pub use door::{Engine, EngineLimits};
pub use error::Error;
pub use parts::{AfterCommit, EngineParts};
pub use waiters::CompletionWaiters;
pub(crate) use waiters::Wait;
