//! Redriving: requests that the gateway has not answered go out again.

use super::failed_work::Work;
use super::sweeper::{BATCH_SIZE_MAX, PAGES_MAX, Sweeper};
use crate::domain::{Booking, Payment, PaymentAction, PaymentStatus, Refund, RefundId, Timestamp};
use crate::rules::{OutboxEvent, refund_request, request};
use crate::store::{Lane, Position, RefundDue, Store, StoreError};
use std::time::Duration;
use tracing::{info, warn};

/// Interval at which a new run checks whether the outbox still holds requests of an earlier run.
const EARLIER_INTERVAL: Duration = Duration::from_millis(100);

/// A row whose request goes out again.
trait Redriven: Sized + Send + Sync {
    /// Its name among failed work.
    fn work(&self) -> Work;

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
        let limit = BATCH_SIZE_MAX;
        let page = self.store.unanswered_payments(started_at, after.as_ref(), limit).await?;
        let redriven = self.redrive(page.found).await?;
        *after = page.next;
        Ok(Some(redriven))
    }

    /// Redrives payments that are unanswered since `before`: puts their requests in the outbox again.
    pub(super) async fn redrive_overdue(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut redriven = 0;
        for _ in 0..PAGES_MAX {
            let after = self.cursors.0.lock().payments.clone();
            let limit = BATCH_SIZE_MAX;
            let page = self.store.unanswered_payments(before, after.as_ref(), limit).await?;
            // While the bus is down, the first requests are still in the outbox; more would only queue up
            // behind them.
            if !page.found.is_empty() && self.is_outbox_behind(before).await? {
                break;
            }
            let is_last = page.next.is_none();
            self.cursors.0.lock().payments = page.next;
            redriven += self.redrive(page.found).await?;
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

    /// Redrives the payments that are due, and returns how many were.
    async fn redrive(&self, payments: Vec<(Payment, Booking)>) -> Result<usize, StoreError> {
        let (now, running) = (self.clock.now(), self.clock.running());
        let due = payments.into_iter().filter(|(p, _)| self.failed_work.is_due(p.work(), running));
        self.store_each(due.map(|(p, booking)| request_of(p, &booking, now)).collect(), now).await
    }

    /// Redrives refunds that are unanswered since `before`.
    pub(super) async fn redrive_refunds(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut redriven = 0;
        for _ in 0..PAGES_MAX {
            let after = self.cursors.0.lock().refunds.clone();
            let page =
                self.store.unanswered_refunds(before, after.as_ref(), BATCH_SIZE_MAX).await?;
            if !page.found.is_empty() && self.is_outbox_behind(before).await? {
                break;
            }
            let is_last = page.next.is_none();
            self.cursors.0.lock().refunds = page.next;
            redriven += self.redrive_due(page.found).await?;
            if is_last || redriven >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(redriven)
    }

    async fn redrive_due(&self, refunds: Vec<RefundDue>) -> Result<usize, StoreError> {
        let (now, running) = (self.clock.now(), self.clock.running());
        let due = refunds
            .into_iter()
            .filter(|due| self.failed_work.is_due(due.refund.work(), running))
            .map(|RefundDue { refund, payment, order_id }| {
                let mut asked = refund.clone();
                if planted!(redriven_refund_has_a_new_id) {
                    asked.id = RefundId::of(order_id, 0, refund.payment);
                }
                let event = refund_request(order_id, &payment, &asked, now);
                let traceparent = payment.traceparent;
                (refund, OutboxEvent { event, traceparent })
            });
        self.store_each(due.collect(), now).await
    }

    /// Stores requests, and returns how many. If the store refuses, each half is tried alone, down to the
    /// request at fault.
    async fn store_each<T: Redriven>(
        &self,
        requests: Vec<(T, OutboxEvent)>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let running = self.clock.running();
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
fn request_of(payment: Payment, booking: &Booking, now: Timestamp) -> (Payment, OutboxEvent) {
    let action = match payment.status {
        PaymentStatus::ReversalRequested => PaymentAction::Reverse,
        _ => PaymentAction::Capture,
    };
    let event = request(booking, &payment, action, now);
    let traceparent = payment.traceparent.clone();
    (payment, OutboxEvent { event, traceparent })
}
