//! The role for bookings and payments as callers and the payment worker read them.

use super::{PaymentAsked, StoreError};
use crate::domain::{Booking, BookingId, BookingStatus, PaymentReference, UserId};
use async_trait::async_trait;
use std::collections::HashMap;

/// Reads bookings and payments.
#[async_trait]
pub trait Bookings: Send + Sync + 'static {
    /// One booking, with its passengers.
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError>;

    /// A user's bookings, newest first, with passengers: at most `limit`, all older than `before`.
    /// Unreadable rows are left out, and logged and counted by the store.
    async fn user_bookings(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError>;

    /// Amount, method and status of payments. Unknown and unreadable ones are left out.
    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError>;

    /// Bookings of an earlier service whose payment never ran, by number: those among the `limit`
    /// bookings after `after`, and where the next page begins.
    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError>;
}
