//! Payments: the worker that calls the gateway, and settlement of the results.
//!
//! `payment-requests` → [`worker`] → gateway → `payment-events` → [`settlement`] → engine. Every step may be
//! repeated.

mod calls;
mod gateway_calls;
pub mod news;
pub mod reconcile;
mod requests;
pub mod settlement;
pub mod worker;
