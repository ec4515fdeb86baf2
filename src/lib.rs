//! Sells seats on flights: search, hold, pay, settle. Never oversells, never loses a booking.
//!
//! Each module is a room. From the ground up:
//!
//! - [`domain`], [`messages`], [`rules`]: values, messages and decisions, without I/O;
//! - [`config`], [`clock`], [`ids`], [`tasks`], [`telemetry`], [`tls`]: settings, time, fresh ids, tasks, and
//!   what operators see; `planted`: bugs for the simulation to find;
//! - [`store`], [`bus`], [`lock`], [`cache`], [`limits`], [`gateway`]: ports, each with its adapters beside
//!   it; [`redis`] is the connection that three of them share;
//! - [`engine`]: the one door to the seats;
//! - [`facts`]: what an event says, by the rows that it names;
//! - [`booking`], [`search`], [`itineraries`], [`payments`], [`relay`], [`sales`], [`webhooks`], [`notify`],
//!   [`events`], [`people`]: use cases and workers;
//! - [`identity`], [`health`]: who calls, and which dependencies answer;
//! - [`http`], [`cli`]: the ways in;
//! - [`app`]: composes all of them.
//!
//! `ARCHITECTURE.md` is the map; `tests/architecture/rooms.rs` checks which room uses which.

#[macro_use]
mod planted;

pub mod app;
pub mod booking;
pub mod breaker;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod events;
pub mod facts;
pub mod gateway;
pub mod health;
pub mod http;
pub mod identity;
pub mod ids;
pub mod itineraries;
pub mod limits;
pub mod lock;
pub mod messages;
pub mod notify;
pub mod payments;
pub mod people;
pub mod redis;
pub mod relay;
pub mod rules;
pub mod sales;
pub mod search;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod webhooks;

// The simulation runs in this library's test binary: only there can it switch on planted bugs.
#[cfg(test)]
extern crate self as airline_booking;
#[cfg(test)]
#[allow(dead_code, reason = "the integration tests use the rest")]
#[allow(unused_imports, reason = "as above")]
#[path = "../tests/fuzzing/mod.rs"]
mod fuzzing;
#[cfg(test)]
#[path = "../tests/simulation/mod.rs"]
mod simulation;
