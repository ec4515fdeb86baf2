//! The role for bookings and payments as callers and the payment worker read them.

use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, Money, OrderRecord, PaymentMethod,
    PaymentReference, PaymentStatus, RefundId, RefundStatus, Timestamp, UserId, WaitsFor,
};
use crate::store::StoreError;
use async_trait::async_trait;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

/// Reads bookings and payments.
#[async_trait]
pub trait Bookings: Send + Sync + 'static {
    /// One booking, with its passengers.
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError>;

    /// The order of a booking, with passengers and refunds, all of one moment.
    async fn order(&self, of: BookingId) -> Result<Option<OrderRecord>, StoreError>;

    /// A user's bookings, newest first, with passengers: at most `limit`, all older than `before`.
    /// Unreadable rows are left out, and logged and counted by the store.
    async fn bookings_of_user(
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

    /// Payment, amount and status of refunds. Unknown and unreadable ones are left out.
    async fn refunds_asked(
        &self,
        refunds: &[RefundId],
    ) -> Result<HashMap<RefundId, RefundAsked>, StoreError>;

    /// Bookings of an earlier service whose payment never ran, by number: those among the `limit`
    /// bookings after `after`, and where the next page begins.
    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError>;
}

/// A payment as the payment worker needs it. The call to the gateway is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentAsked {
    /// The amount to charge.
    pub amount: Money,
    /// The currency of `amount`.
    pub currency: Currency,
    /// How the customer pays.
    pub method: PaymentMethod,
    /// Its present status.
    pub status: PaymentStatus,
    /// What it waits for while it is requested.
    pub waits_for: WaitsFor,
    /// Where the payer goes after an action at the gateway.
    pub return_url: Option<Arc<str>>,
    /// When the booking's hold ends.
    pub hold_expires_at: Timestamp,
}

/// A refund as the payment worker needs it. The call to the gateway is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundAsked {
    /// The payment whose money goes back.
    pub payment: PaymentReference,
    /// The booking that was cancelled, in part or whole.
    pub booking_id: BookingId,
    /// The amount that goes back.
    pub amount: Money,
    /// The currency of `amount`, which is the payment's.
    pub currency: Currency,
    /// Its present status.
    pub status: RefundStatus,
    /// Whether the payment's dispute is open: its refunds wait.
    pub is_disputed: bool,
}

/// One page of a user's bookings.
pub(in crate::store) struct BookingPage {
    /// The readable ones.
    pub(in crate::store) readable: Vec<Booking>,
    /// Number of rows, the unreadable ones among them.
    pub(in crate::store) rows: usize,
    /// Id of the last row.
    pub(in crate::store) last: Option<i64>,
}

/// Up to `limit` readable bookings. `page` reads up to `limit` rows before an id; further pages take the place
/// of unreadable rows.
pub(in crate::store) async fn readable_bookings<F>(
    before: Option<BookingId>,
    limit: usize,
    page: impl Fn(i64) -> F,
) -> Result<Vec<Booking>, StoreError>
where
    F: Future<Output = Result<BookingPage, StoreError>>,
{
    let mut before = before.map_or(i64::MAX, |id| id.0);
    let mut found = Vec::new();
    loop {
        let BookingPage { readable, rows, last } = page(before).await?;
        found.extend(readable);
        found.truncate(limit);
        let is_last = rows < limit || found.len() >= limit;
        let Some(last) = last.filter(|_| !is_last) else { return Ok(found) };
        before = last;
    }
}
