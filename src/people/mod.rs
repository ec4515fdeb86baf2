//! People's data: which columns hold any, and how a user's are exported and erased.
//!
//! Works on the store alone, beside a running service. Money, seats and the user's number stay; who flies
//! and what callers named their requests go. Data go out through a writer that the caller gives.

mod columns;
pub mod erase;
pub mod export;
mod rows;

pub use columns::{OTHER_COLUMNS, OnErasure, PERSONAL_COLUMNS, PersonalColumn};
