//! Sells seats on flights: search, hold, pay, settle. Never oversells, never loses a booking.
//!
//! The rooms, from the outside in (the arrows point inward; `ARCHITECTURE.md` is the map):
//!
//! - [`cli`], [`config`], [`app`]: the command line, the environment, and the one place that knows
//!   every part and wires them;
//! - [`http`]: requests into calls, answers into responses;
//! - [`booking`], [`search`], [`payments`]: the use cases, and the engine that all seats go through;
//! - [`people`]: which columns hold people's data, and how a user's are exported and erased;
//! - [`domain`]: what the business speaks of, pure;
//! - [`store`], [`cache`], [`lock`], [`bus`], [`clock`]: ports, each with its implementations beside it;
//! - [`identity`]: who calls, and what they may do;
//! - [`health`]: which dependencies answer;
//! - [`redis`]: the connection that the cache and the locks share;
//! - [`telemetry`]: metrics, logs and traces; [`tls`]: whose cryptography HTTP clients use.

pub mod app;
pub mod booking;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod health;
pub mod http;
pub mod identity;
pub mod lock;
mod pace;
pub mod payments;
pub mod people;
pub mod redis;
pub mod sample;
pub mod search;
pub mod store;
pub mod telemetry;
pub mod tls;
