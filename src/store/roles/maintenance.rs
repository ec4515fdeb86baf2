//! The sweeper's role: find what lapsed, stalled or aged.

use crate::domain::{Booking, BookingId, FlightId, Payment, PaymentReference, Timestamp};
use crate::rules::OutboxEvent;
use crate::store::{Leases, StoreError};
use async_trait::async_trait;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;

/// Maximum count of each number in a [`Backlog`].
pub const BACKLOG_MAX: i64 = 100_000;

/// Finds work that only the sweeper ends. Pages leave out unreadable rows, which the store logs and
/// counts.
#[async_trait]
pub trait Maintenance: Leases {
    /// Payments of pending bookings whose hold ended at or before `now`, oldest first: a page of at most
    /// `limit` rows after `after`.
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError>;

    /// Pending and completed bookings of cancelled flights, by flight, then booking: a page of at most
    /// `limit` rows after `after`.
    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError>;

    /// Payments still `requested` or `reversal_requested`, not waiting for a method, that last changed before `before`, each with
    /// its booking, oldest first: a page of at most `limit` rows after `after`.
    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError>;

    /// Writes the requests of these payments to the outbox again and sets their `updated_at` to `now`.
    /// Skips payments that have changed since they were read.
    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Deletes at most `limit` idempotency keys used before `before`, those of bookings first. Returns
    /// how many.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Counts bookings still pending though their hold ended at or before `lapsed`, payments and refunds
    /// unanswered since `asked`, and the outbox. A booking is pending while its payment is `requested`: a store may count
    /// either, by the index that it has. Each count stops at [`BACKLOG_MAX`] and uses an index, so that the
    /// call can be made every few seconds.
    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError>;

    /// Refreshes the planner's statistics of tables that have outgrown them. Cheap enough to be called
    /// every second.
    async fn renew_statistics(&self) -> Result<(), StoreError>;
}

/// Work that waits in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages in the outbox.
    pub outbox: i64,
    /// When the oldest of them was written.
    pub outbox_since: Option<Timestamp>,
    /// Bookings still pending after their hold ended.
    pub stuck_bookings: i64,
    /// Payments without an answer for too long.
    pub unanswered_payments: i64,
    /// Refunds without an answer for too long, however often they were requested again.
    pub unanswered_refunds: i64,
    /// Refunds that the gateway refused.
    pub failed_refunds: i64,
    /// When the oldest of the unanswered refunds was first requested.
    pub unanswered_refunds_since: Option<Timestamp>,
}

/// A part of what the sweeper looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The readable rows.
    pub found: Vec<T>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Position>,
}

/// The position of a payment or refund in the order of time. A page begins after one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Microseconds since 1970; `None` before every instant.
    pub(in crate::store) at: Option<i64>,
    /// The payment reference or the refund's id, as its column holds it.
    pub(in crate::store) reference: String,
}

impl Position {
    /// The position of a payment or refund at this time.
    pub fn at(time: Timestamp, reference: impl Display) -> Self {
        Self { at: Some(time.timestamp_micros()), reference: reference.to_string() }
    }

    /// Its parts; those before every row for `None`.
    pub(in crate::store) fn parts(after: Option<&Self>) -> (Option<i64>, &str) {
        after.map_or((None, ""), |position| (position.at, &position.reference))
    }

    /// The position after a page's last row, if the page is full and more may follow.
    pub(in crate::store) fn behind(rows: usize, limit: usize, last: Option<Self>) -> Option<Self> {
        last.filter(|_| rows >= limit)
    }
}

/// Each payment with the first booking of its order. Payments without a booking are left out.
pub(in crate::store) fn paired(
    payments: Vec<Payment>,
    bookings: Vec<Booking>,
) -> Vec<(Payment, Booking)> {
    let first = bookings.into_iter().filter(|booking| booking.segment == 1);
    let by_order: HashMap<PaymentReference, Booking> =
        first.map(|booking| (booking.payment_reference, booking)).collect();
    let pair =
        |payment: Payment| by_order.get(&payment.order).map(|booking| (payment, booking.clone()));
    payments.into_iter().filter_map(pair).collect()
}

/// The events of the payments or refunds that are still as they were read, given their keys.
pub(in crate::store) fn still_due<T>(
    requests: &[(T, OutboxEvent)],
    unchanged: Vec<String>,
    key: impl Fn(&T) -> String,
) -> Vec<OutboxEvent> {
    let unchanged: HashSet<String> = unchanged.into_iter().collect();
    let due = requests.iter().filter(|(read, _)| unchanged.contains(&key(read)));
    due.map(|(_, event)| event.clone()).collect()
}
