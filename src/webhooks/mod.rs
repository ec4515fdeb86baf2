//! Webhooks: partners get events.
//!
//! [`Registry`] keeps what partners made. The intake reads `airline-events` and queues a delivery for each webhook that
//! takes the event, with what the rows say of it; the sender sends what is due, signed as Standard Webhooks says. Rows are all that they share, so
//! a crash loses nothing: at most a delivery is sent twice, with the same id.

mod addresses;
mod client;
mod intake;
mod registry;
mod schedule;
mod sender;
mod signing;

pub use intake::Intake;
pub use registry::{CreatedWebhook, Error, Registry, Told};
pub use sender::Sender;
