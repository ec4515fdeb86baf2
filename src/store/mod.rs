//! The store port: flights, bookings, payments and the outbox, durably. The source of truth.
//!
//! One trait per role; a consumer names the role that it needs. [`Store`] is all of them.
//! Implementations write SQL and map rows; the rules stand in [`crate::rules::decide`]. Callers pass
//! the time: no SQL asks the database for it.

mod error;
pub mod postgres;
mod roles;
mod rows;
mod schema;
pub mod sqlite;

pub use error::StoreError;
pub use roles::bookings::{Bookings, PaymentAsked, RefundAsked};
pub use roles::catalogue::{Catalogue, Numbered, OTHERS_MAX, RouteSpan};
pub use roles::commits::{Commits, Located};
pub use roles::committed::Committed;
pub use roles::deliveries::{Attempt, AttemptOutcome, Deliveries, EventRows, WebhookCounts};
pub use roles::drift::{PaymentsCompared, SeatCount, SeatsAsked};
pub use roles::event_log::{EventLog, LoggedEvents};
pub use roles::flight_lists::{FlightFilter, FlightPlace};
pub use roles::gateway_names::{GatewayName, GatewayNames, NamedPayment};
pub use roles::history::{HeldChange, History};
pub use roles::leases::{Job, LEASE_INTERVAL, Lease, Leases, while_held};
pub use roles::maintenance::{BACKLOG_MAX, Backlog, Maintenance, Page, Position};
pub use roles::messages::{
    HeldMessage, MESSAGES_COUNTED_MAX, MessageDone, MessageOutcome, Messages, NewMessage,
    PendingMessages, TakenMessage,
};
pub use roles::operations::{Finding, Operations, SWEEP_GRACE};
pub use roles::outbox::{Lane, Outbox, OutboxEntry, flight_created, invalidation_of};
pub use roles::payment_notes::PaymentNotes;
pub use roles::personal::{
    Departed, DepartedPage, Erasure, HeldBooking, HeldKey, PersonalData, Scrub, Scrubbed,
};
pub use roles::reference_keys::ReferenceKeys;
pub use roles::refunds::{RefundDue, Refunds};
pub use roles::sales::Sales;
pub use roles::waitlist::{Ahead, EntryCounts, EntryRecord, LinesDue, WaitingLists};
pub use roles::webhooks::{WebhookChange, Webhooks};

/// Every role of a store, for the composition root.
pub trait Store:
    Commits
    + Catalogue
    + Bookings
    + History
    + PaymentNotes
    + Maintenance
    + Refunds
    + Outbox
    + Operations
    + PersonalData
    + Sales
    + WaitingLists
    + Messages
    + Webhooks
    + Deliveries
{
}

impl<T> Store for T where
    T: Commits
        + Catalogue
        + Bookings
        + History
        + PaymentNotes
        + Maintenance
        + Refunds
        + Outbox
        + Operations
        + PersonalData
        + Sales
        + WaitingLists
        + Messages
        + Webhooks
        + Deliveries
{
}
