//! The sweeper: brings to its end what nobody else does.
//!
//! Lapsed holds expire; bookings of cancelled flights are cancelled; payments that the gateway
//! never answered are asked for again. All of it can be read off the store, so a crash loses none.

use super::changes::Told;
use super::command::{Cancel, CancelledBy, Command};
use super::decide::request;
use super::drift::Drift;
use super::engine::Engine;
use super::idempotency::IdempotencyRecord;
use crate::clock::Clock;
use crate::domain::{PaymentAction, PaymentStatus, Timestamp};
use crate::error::Error;
use crate::store::{Backlog, Job, Lane, Lease, Store};
use crate::telemetry::Metrics;
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// Rows that one step takes at most of each kind.
const BATCH_SIZE_MAX: usize = 512;

/// How often forgotten idempotency keys are looked for.
const FORGET_EVERY: TimeDelta = TimeDelta::minutes(10);

/// How often what waits in the store is measured.
const TELL_EVERY: TimeDelta = TimeDelta::seconds(5);

/// How long past its hold a booking may be pending before it counts as stuck.
const SWEEP_GRACE: TimeDelta = TimeDelta::seconds(5);

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
}

impl Sweeper {
    /// Works until stopped from outside, whenever the job is this process'.
    pub async fn run(&self) {
        loop {
            self.metrics.tell_job(Job::Sweep, false);
            let lease = self.store.wait_for(Job::Sweep).await;
            self.metrics.tell_job(Job::Sweep, true);
            self.run_while(lease).await;
            // From now on another process tells it.
            self.metrics.tell_backlog(&Backlog::default(), self.clock.now());
            Drift::forget(&self.metrics);
        }
    }

    /// Drives what an earlier process left, then steps while the job is ours.
    async fn run_while(&self, mut lease: Box<dyn Lease>) {
        let mut forgotten_at = self.clock.now();
        self.drive_earlier(forgotten_at).await;
        let mut told_at: Option<Timestamp> = None;
        let mut drift = Drift::default();
        while lease.is_held().await {
            let now = self.clock.now();
            if told_at.is_none_or(|at| now - at >= TELL_EVERY) {
                told_at = Some(now);
                self.tell_backlog(now).await;
            }
            if let Err(error) = self.store.renew_statistics().await {
                debug!(%error, "the sweeper could not renew the store's statistics");
            }
            drift.look_if_due(now, &*self.store, &self.metrics).await;
            match self.step(now).await {
                // More may be waiting: no pause.
                Ok(done) if done >= BATCH_SIZE_MAX => continue,
                Ok(_) => {}
                Err(error) => warn!(%error, "the sweeper could not finish; it tries again"),
            }
            if now - forgotten_at > FORGET_EVERY {
                forgotten_at = now;
                if let Err(error) = self.store.forget_keys(now - IdempotencyRecord::KEPT_FOR).await
                {
                    warn!(%error, "the sweeper could not forget old idempotency keys");
                }
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Measures what waits in the store.
    pub async fn tell_backlog(&self, now: Timestamp) {
        let (lapsed, asked) = (now - SWEEP_GRACE, now - self.redrive_after);
        match self.store.backlog(lapsed, asked).await {
            Ok(backlog) => self.metrics.tell_backlog(&backlog, now),
            Err(error) => debug!(%error, "the sweeper could not measure what waits"),
        }
    }

    /// Asks again for what an earlier run left unanswered, without waiting for it to be overdue.
    async fn drive_earlier(&self, started_at: Timestamp) {
        let mut payments = 0;
        loop {
            match self.drive_unanswered(started_at).await {
                Ok(0) => break,
                Ok(driven) => payments += driven,
                Err(error) => {
                    warn!(%error, "the sweeper could not drive earlier payments");
                    break;
                }
            }
        }
        if payments > 0 {
            info!(payments, "asking again for payments left by an earlier run");
        }
    }

    /// One look at everything that may have lapsed by `now`; says how much was done.
    pub async fn step(&self, now: Timestamp) -> Result<usize, Error> {
        let lapsed = self.store.lapsed_holds(now, BATCH_SIZE_MAX).await?;
        let mut commands: Vec<Command> = lapsed.into_iter().map(Command::Expire).collect();
        let stranded = self.store.stranded_bookings(BATCH_SIZE_MAX).await?;
        commands.extend(
            stranded
                .into_iter()
                .map(|booking_id| Command::Cancel(Cancel { booking_id, by: CancelledBy::Airline })),
        );
        let mut done = 0;
        for outcome in self.engine.submit_all(commands, &[]).await? {
            match outcome {
                Ok(_) => done += 1,
                // Somebody else was faster; nothing is left to do.
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done + self.drive_unanswered(now - self.redrive_after).await?)
    }

    /// Puts the requests of payments unanswered since `before` in the outbox again.
    async fn drive_unanswered(&self, before: Timestamp) -> Result<usize, Error> {
        let unanswered = self.store.unanswered_payments(before, BATCH_SIZE_MAX).await?;
        if unanswered.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        // While the bus is away, the requests still lie in the outbox: more of them would only wait
        // behind them.
        let waiting = self.store.outbox(Lane::Requests, &[], 1).await?;
        if waiting.first().is_some_and(|oldest| oldest.since < before) {
            return Ok(0);
        }
        let requests: Vec<_> = unanswered
            .into_iter()
            .map(|(payment, booking)| {
                let action = match payment.status {
                    PaymentStatus::ReversalRequested => PaymentAction::Reverse,
                    _ => PaymentAction::Capture,
                };
                let event = request(&booking, &payment, action, now);
                let traceparent = payment.traceparent.clone();
                (payment, Told { event, traceparent })
            })
            .collect();
        self.store.drive_again(&requests, now).await?;
        self.committed.notify_one();
        Ok(requests.len())
    }
}
