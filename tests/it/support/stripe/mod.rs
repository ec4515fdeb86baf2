//! A hostile Stripe: a real HTTP server with the state of an account, and planned faults.

mod account;
mod server;

pub use server::{API_KEY, FakeStripe, Fault};
