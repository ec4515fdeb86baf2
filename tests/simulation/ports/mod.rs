//! The world outside a simulated replica: database, bus, locks, cache, gateway and clocks, in one process, with
//! faults. Each is shared by all replicas; a replica has its own handle to it.
//!
//! `tests/it/ports_*.rs` prove these ports by the same contracts as the real ones.

pub mod bus;
pub mod cache;
pub mod chance;
pub mod clock;
pub mod gateway;
pub mod locks;
pub mod process;
pub mod rows;
pub mod store;
