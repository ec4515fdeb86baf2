//! Getting paid: the gateway port, the worker that asks it, and settlement of what it says.
//!
//! `payment-requests` → [`worker`] → [`gateway`] → `payment-events` → [`settlement`] → the booking
//! engine's door. Slow and fallible by nature: every step may be repeated.

mod calls;
pub mod settlement;
pub mod worker;
