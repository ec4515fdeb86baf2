//! What consumers ask of a store: a trait a role, with the values that it takes and gives.

pub(in crate::store) mod bookings;
pub(in crate::store) mod catalogue;
pub(in crate::store) mod commits;
pub(in crate::store) mod committed;
pub(in crate::store) mod deliveries;
pub(in crate::store) mod drift;
pub(in crate::store) mod event_log;
pub(in crate::store) mod flight_lists;
pub(in crate::store) mod gateway_names;
pub(in crate::store) mod history;
pub(in crate::store) mod leases;
pub(in crate::store) mod maintenance;
pub(in crate::store) mod messages;
pub(in crate::store) mod operations;
pub(in crate::store) mod outbox;
pub(in crate::store) mod payment_notes;
pub(in crate::store) mod personal;
pub(in crate::store) mod reference_keys;
pub(in crate::store) mod refunds;
pub(in crate::store) mod sales;
pub(in crate::store) mod waitlist;
pub(in crate::store) mod webhooks;
