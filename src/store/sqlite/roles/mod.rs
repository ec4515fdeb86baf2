//! The roles of the port: a file per trait, named like the trait's own file.

mod bookings;
pub(super) mod catalogue;
mod commits;
mod deliveries;
mod event_log;
mod flight_lists;
mod gateway_names;
mod history;
mod leases;
mod maintenance;
mod messages;
mod operations;
pub(super) mod outbox;
mod payment_notes;
mod personal;
mod reference_keys;
mod refunds;
mod sales;
mod waitlist;
mod webhooks;
