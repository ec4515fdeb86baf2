//! Redriving: requests that the gateway has not answered go out again.

use super::failed_work::Work;
use super::sweeper::{BATCH_SIZE_MAX, Cursors, PAGES_MAX, Sweeper};
use crate::domain::{Booking, Payment, PaymentAction, PaymentStatus, Refund, RefundId, Timestamp};
use crate::rules::{OutboxEvent, refund_request, request};
use crate::store::{Lane, Page, Position, RefundDue, Store, StoreError};
use std::time::Duration;
use tracing::{info, warn};

/// Interval at which a new run checks whether the outbox still holds requests of an earlier run.
const EARLIER_INTERVAL: Duration = Duration::from_millis(100);

/// A row whose request goes out again.
trait Redriven: Sized + Send + Sync {
    /// Its name among failed work.
    fn work(&self) -> Work;

    /// Where the next step continues with rows of this kind.
    fn cursor(cursors: &mut Cursors) -> &mut Option<Position>;

    /// A page of the rows that are unanswered since `before`, each with its request made at `now`.
    fn unanswered(
        store: &dyn Store,
        before: Timestamp,
        after: Option<&Position>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Page<(Self, OutboxEvent)>, StoreError>> + Send;

    /// Stores the requests of the rows that are still as they were read.
    fn store(
        store: &dyn Store,
        requests: &[(Self, OutboxEvent)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Redriven for Payment {
    fn work(&self) -> Work {
        Work::Request(self.reference)
    }

    fn cursor(cursors: &mut Cursors) -> &mut Option<Position> {
        &mut cursors.payments
    }

    async fn unanswered(
        store: &dyn Store,
        before: Timestamp,
        after: Option<&Position>,
        now: Timestamp,
    ) -> Result<Page<(Self, OutboxEvent)>, StoreError> {
        let page = store.unanswered_payments(before, after, BATCH_SIZE_MAX).await?;
        let found = page.found.into_iter().map(|(payment, first)| request_of(payment, &first, now));
        Ok(Page { found: found.collect(), next: page.next })
    }

    async fn store(
        store: &dyn Store,
        requests: &[(Self, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        store.redrive(requests, now).await
    }
}

impl Redriven for Refund {
    fn work(&self) -> Work {
        Work::Refund(self.id)
    }

    fn cursor(cursors: &mut Cursors) -> &mut Option<Position> {
        &mut cursors.refunds
    }

    async fn unanswered(
        store: &dyn Store,
        before: Timestamp,
        after: Option<&Position>,
        now: Timestamp,
    ) -> Result<Page<(Self, OutboxEvent)>, StoreError> {
        let page = store.unanswered_refunds(before, after, BATCH_SIZE_MAX).await?;
        let found = page.found.into_iter().map(|due| request_of_refund(due, now));
        Ok(Page { found: found.collect(), next: page.next })
    }

    async fn store(
        store: &dyn Store,
        requests: &[(Self, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        store.redrive_refunds(requests, now).await
    }
}

impl Sweeper {
    /// Redrives payments that an earlier run left unanswered, as soon as its requests have left the outbox
    /// and without waiting for `redrive_after`.
    pub(super) async fn redrive_earlier(&self, started_at: Timestamp) {
        let mut payments = 0;
        let mut after = None;
        loop {
            match self.redrive_earlier_page(started_at, &mut after).await {
                Ok(None) => tokio::time::sleep(EARLIER_INTERVAL).await,
                Ok(Some(redriven)) => {
                    payments += redriven;
                    if after.is_none() {
                        break;
                    }
                }
                Err(error) => {
                    warn!(%error, "redriving earlier payments failed, retrying");
                    tokio::time::sleep(self.interval).await;
                }
            }
        }
        if payments > 0 {
            info!(payments, "redrove payments of an earlier run");
        }
        // Its own requests have left the outbox by now.
        match self.redrive_refunds(started_at).await {
            Ok(0) => {}
            Ok(refunds) => info!(refunds, "redrove refunds of an earlier run"),
            Err(error) => {
                warn!(%error, "redriving earlier refunds failed; a later sweep repeats it");
            }
        }
    }

    /// Returns the number of redriven payments of a page; `None` while the outbox holds earlier requests.
    async fn redrive_earlier_page(
        &self,
        started_at: Timestamp,
        after: &mut Option<Position>,
    ) -> Result<Option<usize>, StoreError> {
        if self.is_outbox_behind(started_at).await? {
            return Ok(None);
        }
        let (store, now) = (&*self.store, self.clock.now());
        let page = Payment::unanswered(store, started_at, after.as_ref(), now).await?;
        let redriven = self.redrive(page.found, now).await?;
        *after = page.next;
        Ok(Some(redriven))
    }

    /// Redrives payments that are unanswered since `before`.
    pub(super) async fn redrive_payments(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.redrive_overdue::<Payment>(before).await
    }

    /// Redrives refunds that are unanswered since `before`.
    pub(super) async fn redrive_refunds(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.redrive_overdue::<Refund>(before).await
    }

    /// Redrives rows that are unanswered since `before`: puts their requests in the outbox again.
    async fn redrive_overdue<T: Redriven>(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut redriven = 0;
        for _ in 0..PAGES_MAX {
            let after = T::cursor(&mut self.cursors.0.lock()).clone();
            let now = self.clock.now();
            let page = T::unanswered(&*self.store, before, after.as_ref(), now).await?;
            // While the bus is down, the first requests are still in the outbox; more would only queue up
            // behind them.
            if !page.found.is_empty() && self.is_outbox_behind(before).await? {
                break;
            }
            let is_last = page.next.is_none();
            *T::cursor(&mut self.cursors.0.lock()) = page.next;
            redriven += self.redrive(page.found, now).await?;
            if is_last || redriven >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(redriven)
    }

    /// Whether the outbox holds a request from before this instant.
    async fn is_outbox_behind(&self, before: Timestamp) -> Result<bool, StoreError> {
        let waiting = self.store.outbox(Lane::Requests, &[], 1).await?;
        Ok(waiting.first().is_some_and(|oldest| oldest.since < before))
    }

    /// Stores the requests that are due, and returns how many. If the store refuses, each half is tried alone,
    /// down to the request at fault.
    async fn redrive<T: Redriven>(
        &self,
        mut requests: Vec<(T, OutboxEvent)>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let running = self.clock.running();
        requests.retain(|(row, _)| self.failed_work.is_due(row.work(), running));
        let mut parts = vec![requests];
        let mut redriven = 0;
        while let Some(mut part) = parts.pop() {
            let Some((first, _)) = part.first() else { continue };
            match T::store(&*self.store, &part, now).await {
                Ok(()) => {
                    redriven += part.len();
                    for (stored, _) in &part {
                        self.failed_work.done(stored.work());
                    }
                    self.committed.notify_one();
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) if part.len() == 1 => {
                    self.failed_work.failed(first.work(), &error.into(), running);
                }
                Err(_) => {
                    let rest: Vec<_> = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            }
        }
        Ok(redriven)
    }
}

/// The request to the gateway that a payment's status calls for.
pub(super) fn request_of(
    payment: Payment,
    booking: &Booking,
    now: Timestamp,
) -> (Payment, OutboxEvent) {
    let action = match payment.status {
        PaymentStatus::ReversalRequested => PaymentAction::Reverse,
        _ => PaymentAction::Capture,
    };
    let event = request(booking, &payment, action, now);
    let traceparent = payment.traceparent.clone();
    (payment, OutboxEvent { event, traceparent })
}

/// The request to the gateway for a refund.
pub(super) fn request_of_refund(due: RefundDue, now: Timestamp) -> (Refund, OutboxEvent) {
    let RefundDue { refund, payment, order_id } = due;
    let mut asked = refund.clone();
    if planted!(redriven_refund_has_a_new_id) {
        asked.id = RefundId::of(order_id, 0, refund.payment);
    }
    let event = refund_request(order_id, &payment, &asked, now);
    (refund, OutboxEvent { event, traceparent: payment.traceparent })
}
