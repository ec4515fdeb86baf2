//! A batch of the engine: its rows are loaded, its booking numbers drawn, its changes written.

pub(super) mod attempts;
pub(super) mod commit;
pub(super) mod load;
mod locked;
pub(super) mod numbers;
mod passengers;
mod refunds;
mod replacements;
pub(super) mod request_keys;
mod statement;
mod status_updates;
pub(super) mod waitlist;
