//! The roles of the port: a file per trait, named like the trait's own file.

mod bookings;
pub(super) mod catalogue;
mod commits;
mod flight_lists;
mod gateway_names;
mod leases;
mod maintenance;
mod operations;
pub(super) mod outbox;
mod payment_notes;
mod personal;
mod refunds;
mod waitlist;
