//! The ids port: where ids that the store does not number come from.

use crate::domain::{PaymentReference, ReferenceKey, Timestamp};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt::Display;
use uuid::Uuid;

/// Draws ids that no other process draws.
pub trait Ids: Send + Sync + 'static {
    /// A fresh payment reference. References drawn one after the other are neighbours in an index, so a
    /// batch touches few pages.
    fn payment_reference(&self, now: Timestamp) -> PaymentReference;

    /// A fresh id of a message to a traveller, which is in its Message-ID too: it says when it was drawn, and nothing
    /// else.
    fn message(&self, now: Timestamp) -> String {
        let seconds = now.timestamp().unsigned_abs();
        let time = uuid::Timestamp::from_unix_time(seconds, now.timestamp_subsec_nanos(), 0, 0);
        Uuid::new_v7(time).simple().to_string()
    }
}

/// UUIDs of version 7: the time in milliseconds, then 74 random bits.
#[derive(Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn payment_reference(&self, now: Timestamp) -> PaymentReference {
        PaymentReference::draw(now)
    }
}

/// Draws a key of booking references. A database keeps the first that is drawn for it.
pub fn reference_key() -> ReferenceKey {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).expect("the system has random bytes");
    ReferenceKey(key)
}

/// Draws the random bytes of a webhook's secret.
pub fn webhook_secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// Draws what tells one ping of a webhook from all others.
pub fn ping_id() -> impl Display {
    Uuid::new_v4().simple()
}
