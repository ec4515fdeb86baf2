//! Connections to the server: how they are opened and guarded, how one begins a transaction or takes an
//! advisory lock, and what its errors mean.

pub(super) mod advisory_locks;
pub(super) mod connect;
pub(super) mod error;
pub(super) mod stall_guard;
pub(super) mod transaction;
