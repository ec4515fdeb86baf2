//! The role for bookings and payments as callers and the payment worker read them.

use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, FlightId, Money, OrderRecord, PaymentMethod,
    PaymentReference, PaymentStatus, RefundId, RefundStatus, Timestamp, UserId, WaitsFor,
};
use crate::store::StoreError;
use async_trait::async_trait;
use std::collections::HashMap;
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

    /// A flight's bookings by id, with passengers: at most `limit`, all with an id above `after`. Unreadable
    /// rows are left out, and logged and counted by the store.
    async fn bookings_of_flight(
        &self,
        flight: FlightId,
        status: Option<BookingStatus>,
        after: Option<BookingId>,
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
