//! The ids port: where ids that the store does not number come from.

use crate::domain::{PaymentReference, Timestamp};

/// Draws ids that no other process draws.
pub trait Ids: Send + Sync + 'static {
    /// A fresh payment reference. References drawn one after the other are neighbours in an index, so a
    /// batch touches few pages.
    fn payment_reference(&self, now: Timestamp) -> PaymentReference;
}

/// UUIDs of version 7: the time in milliseconds, then 74 random bits.
#[derive(Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn payment_reference(&self, now: Timestamp) -> PaymentReference {
        PaymentReference::draw(now)
    }
}
