//! A batch of the engine: its rows are loaded, its changes written.

pub(super) mod commit;
mod entries;
mod key_sets;
pub(super) mod load;
pub(super) mod request_keys;
mod seldom;
mod sets;
pub(super) mod writes;
