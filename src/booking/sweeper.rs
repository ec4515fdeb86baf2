//! The sweeper: brings to its end what nobody else does.
//!
//! Lapsed holds expire; bookings of cancelled flights are cancelled; payments that the gateway
//! never answered are asked for again; passengers are erased some time after departure. All of it can be read off the store, so a crash loses none.
//! Each kind is read in pages, and what is refused is passed over for a while, so that neither a kind
//! nor a row holds up the others.

use super::drift::Drift;
use super::passed_over::{PassedOver, Work};
use super::retention::Retention;
use crate::clock::Clock;
use crate::domain::{
    Booking, BookingId, FlightId, Payment, PaymentAction, PaymentStatus, Timestamp,
};
use crate::engine::{Engine, Error};
use crate::rules::{Cancel, CancelledBy, Command, IdempotencyRecord, OutboxEvent, request};
use crate::store::{Backlog, Job, Lane, Lease, Position, SWEEP_GRACE, Store, StoreError};
use crate::telemetry::{Metrics, Waiting};
use chrono::TimeDelta;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// Rows in a page of each kind.
const BATCH_SIZE_MAX: usize = 512;

/// Pages of a kind that a step reads at most; the next step goes on behind them.
const PAGES_MAX: usize = 16;

/// How often forgotten idempotency keys are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Idempotency keys that one statement forgets: some milliseconds of the database's one writer.
const KEYS_MAX: usize = 2_000;

/// Such statements between two steps.
const FORGETS_MAX: usize = 8;

/// How often what waits in the store is measured.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How often a start looks whether the requests of an earlier run have left the outbox.
const EARLIER_INTERVAL: Duration = Duration::from_millis(100);

/// Brings to its end what nobody else does.
pub struct Sweeper {
    /// The door.
    pub engine: Engine,
    /// Where lapsed things are found.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often to look (`SWEEP_INTERVAL`).
    pub interval: Duration,
    /// When an unanswered payment is asked for again (`PAYMENT_REDRIVE_AFTER`).
    pub redrive_after: TimeDelta,
    /// Wakes the relay.
    pub committed: Arc<Notify>,
    /// Tells what waits.
    pub metrics: Metrics,
    /// Where the walks through the store stand; the default at the start.
    pub walks: Walks,
    /// What is refused; the default at the start.
    pub passed_over: PassedOver,
    /// How long passengers are kept; `None`: for ever.
    pub retention: Option<Retention>,
}

/// Where the next step goes on with each kind; at the first row where it is `None`.
#[derive(Default)]
pub struct Walks(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    holds: Option<Position>,
    stranded: Option<(FlightId, BookingId)>,
    payments: Option<Position>,
}

impl Walks {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().expect("no holder of the sweeper's places panics")
    }
}

impl Sweeper {
    /// Works until stopped from outside, whenever the job is this process'.
    pub async fn run(&self) {
        loop {
            self.metrics.set_job(Job::Sweep.as_str(), false);
            let lease = self.store.wait_for(Job::Sweep).await;
            self.metrics.set_job(Job::Sweep.as_str(), true);
            let earlier = async {
                self.drive_earlier(self.clock.now()).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = self.run_while(lease) => {}
                () = earlier => {}
            }
            // From now on another process tells it.
            self.metrics.set_waiting(&Waiting::default());
            self.metrics.set_sweep_refused(0);
            Drift::forget(&self.metrics);
        }
    }

    /// Steps while the job is ours. What has lapsed comes before what is only measured. Pauses go by the
    /// time that passes: a clock that is set back would make them longer.
    async fn run_while(&self, mut lease: Box<dyn Lease>) {
        let mut forgotten_at = self.clock.running();
        let mut told_at: Option<Duration> = None;
        let mut drift = Drift::default();
        while lease.is_held().await {
            let (now, running) = (self.clock.now(), self.clock.running());
            let stepped = self.step(now).await;
            if told_at.is_none_or(|at| running.saturating_sub(at) >= TELL_EVERY) {
                told_at = Some(running);
                self.tell_backlog(now).await;
            }
            match stepped {
                // More may be waiting: no pause.
                Ok(done) if done >= BATCH_SIZE_MAX => continue,
                Ok(_) => {}
                Err(error) => warn!(%error, "the sweeper could not finish; it tries again"),
            }
            if let Err(error) = self.store.renew_statistics().await {
                debug!(%error, "the sweeper could not renew the store's statistics");
            }
            drift.look_if_due(running, &*self.store, &self.metrics).await;
            let is_due = running.saturating_sub(forgotten_at) > FORGET_EVERY;
            if is_due && self.forget_keys(now).await {
                forgotten_at = running;
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Forgets some of the old idempotency keys; says whether none is left. Between its statements
    /// others write.
    async fn forget_keys(&self, now: Timestamp) -> bool {
        let before = now - IdempotencyRecord::KEPT_FOR;
        for _ in 0..FORGETS_MAX {
            match self.store.forget_keys(before, KEYS_MAX).await {
                Ok(forgotten) if forgotten < KEYS_MAX => return true,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "the sweeper could not forget old idempotency keys");
                    return false;
                }
            }
        }
        false
    }

    /// Measures what waits in the store.
    pub async fn tell_backlog(&self, now: Timestamp) {
        let (lapsed, asked) = (now - SWEEP_GRACE, now - self.redrive_after);
        match self.store.backlog(lapsed, asked).await {
            Ok(backlog) => self.metrics.set_waiting(&waiting(&backlog, now)),
            Err(error) => debug!(%error, "the sweeper could not measure what waits"),
        }
    }

    /// Asks again for what an earlier run left unanswered, without waiting for it to be overdue: as
    /// soon as the requests that it left in the outbox have gone out.
    async fn drive_earlier(&self, started_at: Timestamp) {
        let mut payments = 0;
        let mut after = None;
        loop {
            match self.drive_page_of_earlier(started_at, &mut after).await {
                Ok(None) => tokio::time::sleep(EARLIER_INTERVAL).await,
                Ok(Some(driven)) => {
                    payments += driven;
                    if after.is_none() {
                        break;
                    }
                }
                Err(error) => {
                    warn!(%error, "the sweeper could not drive earlier payments; it tries again");
                    tokio::time::sleep(self.interval).await;
                }
            }
        }
        if payments > 0 {
            info!(payments, "asking again for payments left by an earlier run");
        }
    }

    /// Says how many payments of the page were asked for again; `None` while earlier requests are still
    /// to go out.
    async fn drive_page_of_earlier(
        &self,
        started_at: Timestamp,
        after: &mut Option<Position>,
    ) -> Result<Option<usize>, StoreError> {
        if self.is_outbox_behind(started_at).await? {
            return Ok(None);
        }
        let limit = BATCH_SIZE_MAX;
        let page = self.store.unanswered_payments(started_at, after.as_ref(), limit).await?;
        let driven = self.drive(page.found).await?;
        *after = page.next;
        Ok(Some(driven))
    }

    /// One look at everything that may have lapsed by `now`; says how much was done. What fails of it
    /// ends nothing of the rest; the first failure is the answer.
    pub async fn step(&self, now: Timestamp) -> Result<usize, Error> {
        let parts = [
            self.expire(now).await,
            self.cancel_stranded().await,
            self.drive_overdue(now - self.redrive_after).await.map_err(Error::from),
            self.erase_departed(now).await.map_err(Error::from),
        ];
        self.metrics.set_sweep_refused(self.passed_over.refused(self.clock.running()));
        let mut all_done = Ok(0);
        for part in parts {
            all_done = match (all_done, part) {
                (Ok(sum), Ok(done)) => Ok(sum + done),
                (Ok(_), Err(error)) | (Err(error), _) => Err(error),
            };
        }
        all_done
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, Error> {
        let mut done = 0;
        for _ in 0..PAGES_MAX {
            let after = self.walks.places().holds.clone();
            let page = self.store.lapsed_holds(now, after.as_ref(), BATCH_SIZE_MAX).await?;
            let is_last = page.next.is_none();
            self.walks.places().holds = page.next;
            let expiry = |reference| (Work::Expiry(reference), Command::Expire(reference));
            done += self.carry_out(page.found.into_iter().map(expiry)).await?;
            if is_last || done >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(done)
    }

    async fn cancel_stranded(&self) -> Result<usize, Error> {
        let mut done = 0;
        for _ in 0..PAGES_MAX {
            let after = self.walks.places().stranded;
            let page = self.store.stranded_bookings(after, BATCH_SIZE_MAX).await?;
            let next = page.last().filter(|_| page.len() >= BATCH_SIZE_MAX).copied();
            self.walks.places().stranded = next;
            let cancellation = |(_, booking_id)| {
                let cancel = Cancel { booking_id, by: CancelledBy::Airline, request: None };
                (Work::Cancellation(booking_id), Command::Cancel(cancel))
            };
            done += self.carry_out(page.into_iter().map(cancellation)).await?;
            if next.is_none() || done >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(done)
    }

    /// Carries out what is due of this; says how much of it was done. What is refused is passed over;
    /// only a store that is away is a failure.
    async fn carry_out(&self, all: impl Iterator<Item = (Work, Command)>) -> Result<usize, Error> {
        let running = self.clock.running();
        let (works, commands): (Vec<Work>, Vec<Command>) =
            all.filter(|(work, _)| self.passed_over.is_due(*work, running)).unzip();
        if commands.is_empty() {
            return Ok(0);
        }
        let mut done = 0;
        let mut away = None;
        let outcomes = self.engine.submit_all(commands, &[]).await?;
        for (work, outcome) in works.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => {
                    done += 1;
                    self.passed_over.done(work);
                }
                Err(error @ Error::Store(StoreError::Unavailable(_))) => away = Some(error),
                Err(error) => self.passed_over.failed(work, &error, running),
            }
        }
        away.map_or(Ok(done), Err)
    }

    /// Puts the requests of payments unanswered since `before` in the outbox again.
    async fn drive_overdue(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut driven = 0;
        for _ in 0..PAGES_MAX {
            let after = self.walks.places().payments.clone();
            let limit = BATCH_SIZE_MAX;
            let page = self.store.unanswered_payments(before, after.as_ref(), limit).await?;
            // While the bus is away, the requests still lie in the outbox: more of them would only
            // wait behind them.
            if !page.found.is_empty() && self.is_outbox_behind(before).await? {
                break;
            }
            let is_last = page.next.is_none();
            self.walks.places().payments = page.next;
            driven += self.drive(page.found).await?;
            if is_last || driven >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(driven)
    }

    /// Whether a request that was made before this instant is still to go out.
    async fn is_outbox_behind(&self, before: Timestamp) -> Result<bool, StoreError> {
        let waiting = self.store.outbox(Lane::Requests, &[], 1).await?;
        Ok(waiting.first().is_some_and(|oldest| oldest.since < before))
    }

    /// Asks for payments again that are due; says how many were. Where the store refuses, halves of
    /// them, down to the one that it refuses.
    async fn drive(&self, payments: Vec<(Payment, Booking)>) -> Result<usize, StoreError> {
        let (now, running) = (self.clock.now(), self.clock.running());
        let work = |payment: &Payment| Work::Request(payment.reference);
        let due = payments.into_iter().filter(|(p, _)| self.passed_over.is_due(work(p), running));
        let requests: Vec<_> = due.map(|(p, booking)| asked_again(p, &booking, now)).collect();
        let mut parts = vec![requests];
        let mut driven = 0;
        while let Some(mut part) = parts.pop() {
            let Some((first, _)) = part.first() else { continue };
            match self.store.redrive(&part, now).await {
                Ok(()) => {
                    driven += part.len();
                    for (payment, _) in &part {
                        self.passed_over.done(work(payment));
                    }
                    self.committed.notify_one();
                }
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) if part.len() == 1 => {
                    self.passed_over.failed(work(first), &error.into(), running);
                }
                Err(_) => {
                    let rest: Vec<_> = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            }
        }
        Ok(driven)
    }
}

/// The request that a payment's row stands for.
fn asked_again(payment: Payment, booking: &Booking, now: Timestamp) -> (Payment, OutboxEvent) {
    let action = match payment.status {
        PaymentStatus::ReversalRequested => PaymentAction::Reverse,
        _ => PaymentAction::Capture,
    };
    let event = request(booking, &payment, action, now);
    let traceparent = payment.traceparent.clone();
    (payment, OutboxEvent { event, traceparent })
}

/// The store's backlog in the figures of the metrics.
fn waiting(backlog: &Backlog, now: Timestamp) -> Waiting {
    let age = backlog.outbox_since.map(|since| (now - since).as_seconds_f64());
    Waiting {
        outbox: backlog.outbox,
        outbox_age: age.unwrap_or_default(),
        stuck_bookings: backlog.stuck_bookings,
        unanswered_payments: backlog.unanswered_payments,
    }
}
