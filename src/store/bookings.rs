//! The role for bookings and payments as callers and the payment worker read them.

use super::{PaymentAsked, StoreError};
use crate::domain::{Booking, BookingId, BookingStatus, PaymentReference, UserId};
use async_trait::async_trait;
use std::collections::HashMap;
use std::future::Future;

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

/// One page of a user's bookings.
pub(super) struct BookingPage {
    /// The readable ones.
    pub(super) readable: Vec<Booking>,
    /// Number of rows, the unreadable ones among them.
    pub(super) rows: usize,
    /// Id of the last row.
    pub(super) last: Option<i64>,
}

/// Up to `limit` readable bookings. `page` reads up to `limit` rows before an id; further pages take the place
/// of unreadable rows.
pub(super) async fn readable_bookings<F>(
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
