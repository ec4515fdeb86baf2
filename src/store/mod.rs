//! The store port: flights, bookings, payments and the outbox, durably. The source of truth.
//!
//! One trait a role; a consumer asks for the role that it needs. [`Store`] is all of them.
//! Implementations write SQL and map rows; the rules stand in [`crate::rules::decide`]. Callers pass
//! the time: no SQL asks the database for it.

mod audit;
mod bookings;
mod catalogue;
mod commits;
mod committed;
mod drift;
mod error;
mod leases;
mod loaded;
mod maintenance;
mod operations;
mod outbox;
mod personal;
pub mod postgres;
mod request_keys;
mod route_keys;
mod rows;
mod schema;
mod sql;
pub mod sqlite;
mod unit;
mod unreadable;

pub use audit::{Finding, SWEEP_GRACE};
pub use bookings::Bookings;
pub use catalogue::{Catalogue, Numbered, OTHERS_MAX, RouteSpan};
pub use commits::{Commits, Located};
pub use committed::Committed;
pub use drift::{PaymentsCompared, SeatCount, SeatsAsked};
pub use error::StoreError;
pub use leases::{Job, LEASE_INTERVAL, Lease, Leases};
pub use maintenance::{BACKLOG_MAX, Backlog, Maintenance, Page, Position};
pub use operations::Operations;
pub use outbox::{Lane, Outbox, OutboxEntry};
pub use personal::{
    Departed, DepartedPage, Erasure, HeldBooking, HeldKey, PersonalData, Scrub, Scrubbed,
};
pub use rows::PaymentAsked;

/// Every role of a store, for the composition root.
pub trait Store:
    Commits + Catalogue + Bookings + Maintenance + Outbox + Operations + PersonalData
{
}

impl<T> Store for T where
    T: Commits + Catalogue + Bookings + Maintenance + Outbox + Operations + PersonalData
{
}
