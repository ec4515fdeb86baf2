//! The resources: each file parses requests, makes one call, and shapes the answers.

pub(crate) mod bookings;
pub(crate) mod flights;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod search;
