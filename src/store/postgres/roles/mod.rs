//! The roles of the port: a file per trait, named like the trait's own file.

pub(super) mod bookings;
pub(super) mod catalogue;
mod commits;
mod deliveries;
mod event_log;
pub(super) mod flight_lists;
mod gateway_names;
mod history;
mod leases;
pub(super) mod maintenance;
pub(super) mod messages;
pub(super) mod operations;
pub(super) mod outbox;
mod payment_notes;
mod personal;
mod reference_keys;
pub(super) mod refunds;
mod sales;
pub(super) mod waitlist;
mod webhooks;
