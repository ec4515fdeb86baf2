//! The sweeper: finishes overdue work.
//!
//! It expires lapsed holds, cancels bookings of cancelled flights, serves waiting lists, redrives payments and refunds
//! that the gateway never answered, and erases passengers some time after departure. The store shows all of this work, so a crash
//! loses none. Each kind of work is read in pages, and refused work is skipped for a while, so that neither
//! a kind nor a row delays the others.

use super::drift::Drift;
use super::failed_work::{FailedWork, Work};
use super::retention::Retention;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::domain::{BookingId, FlightId, Timestamp};
use crate::engine::{Engine, Error};
use crate::rules::{Cancel, CancelledBy, Command, IdempotencyRecord, OrderPart};
use crate::store::{Backlog, Job, Lease, LinesDue, Position, SWEEP_GRACE, Store, StoreError};
use crate::telemetry::{BacklogGauges, Metrics};
use chrono::TimeDelta;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, warn};

/// Rows in a page.
pub(super) const BATCH_SIZE_MAX: usize = 512;

/// Maximum pages of one kind in a step; the next step continues after them.
pub(super) const PAGES_MAX: usize = 16;

/// Cancelled bookings in a page. A page is submitted at once and goes before new bookings, which wait for it.
const STRANDED_MAX: usize = 64;

/// How many times as long as a page of them took the pause after it is, so that a cancellation of many flights leaves
/// two thirds of the time to others; and the pause's maximum.
const STRANDED_PAUSE: u32 = 2;
const STRANDED_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Interval between two deletions of expired idempotency keys, old deliveries and old events.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Maximum keys, deliveries, or batches of events deleted by one statement: keeps SQLite's only writer busy for a few
/// milliseconds.
const KEYS_MAX: usize = 2_000;

/// Maximum such statements between two steps.
const FORGETS_MAX: usize = 8;

/// Interval between two measurements of the store's backlog.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Finishes overdue work.
pub struct Sweeper {
    /// Runs the commands.
    pub engine: Engine,
    /// Shows the overdue work.
    pub store: Arc<dyn Store>,
    /// Keeps events for a while.
    pub bus: Arc<dyn Bus>,
    /// How long events are kept (`EVENT_RETENTION`).
    pub events_kept_for: TimeDelta,
    /// Tells the time and measures pauses.
    pub clock: Arc<dyn Clock>,
    /// Pause between two steps (`SWEEP_INTERVAL`).
    pub interval: Duration,
    /// Age at which an unanswered payment is redriven (`PAYMENT_REDRIVE_AFTER`).
    pub redrive_after: TimeDelta,
    /// How long before departure a flight closes (`BOOKING_CLOSES_BEFORE`); `None`: the clock closes none.
    pub closes_before: Option<TimeDelta>,
    /// Notified after each commit, to wake the relay.
    pub committed: Arc<Notify>,
    /// Shows the backlog and the refused work.
    pub metrics: Metrics,
    /// Where the next step continues; starts as the default.
    pub cursors: SweepCursors,
    /// Work to skip for a while; starts as the default.
    pub failed_work: FailedWork,
    /// How long deliveries to webhooks are kept (`WEBHOOK_RETENTION`).
    pub deliveries_kept_for: TimeDelta,
    /// How long passengers are kept; `None`: forever.
    pub retention: Option<Retention>,
}

/// Where the next step continues with each kind of work.
#[derive(Default)]
pub struct SweepCursors(pub(super) Mutex<Cursors>);

/// The last row that was read of each kind; `None`: start at the first row.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    holds: Option<Position>,
    stranded: Option<(FlightId, BookingId)>,
    lines: Option<FlightId>,
    pub(super) payments: Option<Position>,
    pub(super) refunds: Option<Position>,
}

impl Sweeper {
    /// Sweeps whenever this process has the job, until it is cancelled.
    pub async fn run(&self) {
        loop {
            self.metrics.set_job(Job::Sweep.as_str(), false);
            let lease = self.store.wait_for(Job::Sweep).await;
            self.metrics.set_job(Job::Sweep.as_str(), true);
            let earlier = async {
                self.redrive_earlier(self.clock.now()).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = self.run_while(lease) => {}
                () = earlier => {}
            }
            // Another process reports these figures from now on.
            self.metrics.set_backlog(&BacklogGauges::default());
            self.metrics.set_sweep_refused(0);
            Drift::reset(&self.metrics);
        }
    }

    /// Steps while this process has the job: overdue work first, measurements after it. Pauses use the
    /// running time, so that setting the system clock back does not lengthen them.
    async fn run_while(&self, mut lease: Box<dyn Lease>) {
        let mut forgotten_at = self.clock.running();
        let mut measured_at: Option<Duration> = None;
        let mut drift = Drift::default();
        while lease.is_held().await {
            let (now, running) = (self.clock.now(), self.clock.running());
            let stepped = self.step(now).await;
            if measured_at.is_none_or(|at| running.saturating_sub(at) >= MEASURE_EVERY) {
                measured_at = Some(running);
                self.measure_backlog(now).await;
            }
            match stepped {
                // More work may wait: no pause.
                Ok(done) if done >= BATCH_SIZE_MAX => continue,
                Ok(_) => {}
                Err(error) => warn!(%error, "sweeping failed, retrying"),
            }
            if let Err(error) = self.store.renew_statistics().await {
                debug!(%error, "renewing the store's statistics failed");
            }
            drift.check_if_due((now, running), &*self.store, &self.metrics).await;
            let is_due = running.saturating_sub(forgotten_at) > FORGET_EVERY;
            if is_due
                && self.forget_keys(now).await
                && self.forget_deliveries(now).await
                && self.forget_events(now).await
            {
                forgotten_at = running;
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Deletes some of the expired idempotency keys; returns whether none is left.
    async fn forget_keys(&self, now: Timestamp) -> bool {
        let before = now - IdempotencyRecord::KEPT_FOR;
        forget("expired idempotency keys", || self.store.forget_keys(before, KEYS_MAX)).await
    }

    /// Deletes some of the deliveries to webhooks whose time is over; returns whether none is left.
    pub async fn forget_deliveries(&self, now: Timestamp) -> bool {
        let before = now - self.deliveries_kept_for;
        forget("old deliveries to webhooks", || self.store.forget_deliveries(before, KEYS_MAX))
            .await
    }

    /// Deletes some of the events that are no longer kept; returns whether none is left. Other writers run between its
    /// statements.
    pub async fn forget_events(&self, now: Timestamp) -> bool {
        let before = now - self.events_kept_for;
        for _ in 0..FORGETS_MAX {
            match self.bus.forget_log(before, KEYS_MAX).await {
                Ok(forgotten) if forgotten < KEYS_MAX => return true,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "deleting old events failed");
                    return false;
                }
            }
        }
        false
    }

    /// Measures the store's backlog and sets its gauges.
    pub async fn measure_backlog(&self, now: Timestamp) {
        let (lapsed, asked) = (now - SWEEP_GRACE, now - self.redrive_after);
        match self.store.backlog(lapsed, asked).await {
            Ok(backlog) => {
                let entries = self.store.count_entries().await.unwrap_or_default();
                self.metrics.set_backlog(&BacklogGauges {
                    waiting: entries.waiting,
                    offers: entries.offered,
                    ..backlog_gauges(&backlog, now)
                });
            }
            Err(error) => debug!(%error, "measuring the backlog failed"),
        }
    }

    /// Does the work that is overdue at `now`, and returns how much was done. A failure of one kind does not
    /// stop the others; the first failure is returned.
    pub async fn step(&self, now: Timestamp) -> Result<usize, Error> {
        let parts = [
            self.expire(now).await,
            self.cancel_stranded().await,
            self.promote(now).await,
            self.redrive_payments(now - self.redrive_after).await.map_err(Error::from),
            self.redrive_refunds(now - self.redrive_after).await.map_err(Error::from),
            self.erase_departed(now).await.map_err(Error::from),
        ];
        self.metrics.set_sweep_refused(self.failed_work.refused(self.clock.running()));
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
            let after = self.cursors.0.lock().holds.clone();
            let page = self.store.lapsed_holds(now, after.as_ref(), BATCH_SIZE_MAX).await?;
            let is_last = page.next.is_none();
            self.cursors.0.lock().holds = page.next;
            let expiry = |reference| (Work::Expiry(reference), Command::Expire(reference));
            done += self.run_due(page.found.into_iter().map(expiry)).await?;
            if is_last || done >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(done)
    }

    /// Serves the lines that have something to do, but for those whose promotion waits already.
    async fn promote(&self, now: Timestamp) -> Result<usize, Error> {
        let margin = self.closes_before.unwrap_or_default();
        let closing = now.checked_add_signed(margin).unwrap_or(Timestamp::MAX_UTC);
        let due = LinesDue { now, closing };
        let mut done = 0;
        for _ in 0..PAGES_MAX {
            let after = self.cursors.0.lock().lines;
            let page = self.store.lines_to_serve(due, after, BATCH_SIZE_MAX).await?;
            let next = page.last().filter(|_| page.len() >= BATCH_SIZE_MAX).copied();
            self.cursors.0.lock().lines = next;
            let idle = page.into_iter().filter(|flight| !self.engine.awaits_promotion(*flight));
            let promotion = |flight| (Work::Promotion(flight), Command::Promote(flight));
            done += self.run_due(idle.map(promotion)).await?;
            if next.is_none() || done >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(done)
    }

    /// Cancels bookings of cancelled flights, a bounded number at a time.
    async fn cancel_stranded(&self) -> Result<usize, Error> {
        let mut done = 0;
        for _ in 0..PAGES_MAX {
            let began = self.clock.running();
            let after = self.cursors.0.lock().stranded;
            let page = self.store.stranded_bookings(after, STRANDED_MAX).await?;
            let next = page.last().filter(|_| page.len() >= STRANDED_MAX).copied();
            self.cursors.0.lock().stranded = next;
            let cancellation = |(_, booking_id)| {
                let (by, part) = (CancelledBy::Airline, OrderPart::default());
                let cancel = Cancel { booking_id, part, by, expected_refund: None, request: None };
                (Work::Cancellation(booking_id), Command::Cancel(cancel))
            };
            done += self.run_due(page.into_iter().map(cancellation)).await?;
            if next.is_none() {
                break;
            }
            let took = self.clock.running().saturating_sub(began);
            tokio::time::sleep((took * STRANDED_PAUSE).min(STRANDED_PAUSE_MAX)).await;
            if done >= BATCH_SIZE_MAX {
                break;
            }
        }
        Ok(done)
    }

    /// Runs the due commands, and returns how many succeeded. Refused work is skipped for a while; only an
    /// unavailable store is an error.
    async fn run_due(&self, all: impl Iterator<Item = (Work, Command)>) -> Result<usize, Error> {
        let running = self.clock.running();
        let (works, commands): (Vec<Work>, Vec<Command>) =
            all.filter(|(work, _)| self.failed_work.is_due(*work, running)).unzip();
        if commands.is_empty() {
            return Ok(0);
        }
        let mut done = 0;
        let mut unavailable = None;
        let outcomes = self.engine.submit_all(commands, &[]).await?;
        for (work, outcome) in works.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => {
                    done += 1;
                    self.failed_work.done(work);
                }
                Err(error @ Error::Store(StoreError::Unavailable(_))) => {
                    unavailable = Some(error);
                }
                Err(error) => self.failed_work.failed(work, &error, running),
            }
        }
        unavailable.map_or(Ok(done), Err)
    }
}

/// Deletes some old rows, up to [`KEYS_MAX`] by each statement; returns whether none is left. Other writers run between
/// the statements.
async fn forget<F>(what: &str, delete: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<usize, StoreError>>,
{
    for _ in 0..FORGETS_MAX {
        match delete().await {
            Ok(forgotten) if forgotten < KEYS_MAX => return true,
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "deleting {what} failed");
                return false;
            }
        }
    }
    false
}

/// The gauges of the store's backlog.
fn backlog_gauges(backlog: &Backlog, now: Timestamp) -> BacklogGauges {
    let age = |since: Option<Timestamp>| since.map_or(0.0, |since| (now - since).as_seconds_f64());
    BacklogGauges {
        outbox: backlog.outbox,
        outbox_age: age(backlog.outbox_since),
        stuck_bookings: backlog.stuck_bookings,
        unanswered_payments: backlog.unanswered_payments,
        unanswered_refunds: backlog.unanswered_refunds,
        failed_refunds: backlog.failed_refunds,
        refund_age: age(backlog.unanswered_refunds_since),
        ..BacklogGauges::default()
    }
}
