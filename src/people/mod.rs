//! Personal data: which columns hold them, and how a user's are exported and erased.
//!
//! Uses the store alone, beside a running service. An erasure removes passengers and idempotency keys; amounts,
//! seats and the user's number stay. The caller passes the writer for an export.

mod columns;
pub mod erase;
pub mod export;
mod rows;

pub use columns::{OTHER_COLUMNS, OnErasure, PERSONAL_COLUMNS, PersonalColumn};
