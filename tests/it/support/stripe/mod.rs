//! A hostile Stripe: a real HTTP server with the state of an account, planned faults, and signed webhooks.

mod account;
mod events;
mod server;

pub use account::{Account, Dispute, Intent, Refund};
pub use events::{WEBHOOK_SECRET, dispute_event, event, refund_event, signature};
pub use server::{API_KEY, FakeStripe, Fault};
