//! Running batches: starts those that are due, takes their flights' locks, and gives everything back even
//! if a batch panics.

use super::batch::{Batch, LockedRows};
use super::door::Engine;
use super::job::Job;
use super::parts::EngineParts;
use super::queues::Group;
use crate::domain::FlightId;
use crate::lock::Taken;
use crate::telemetry::{Panicked, Part};
use futures::{FutureExt as _, poll};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How long commands wait after another replica was found to have locked their flight: shorter than the
/// time for which a released lock is reserved for the waiting replica.
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(2);

/// How long commands wait for their flight's lock before they run without it. A replica that was killed keeps
/// its locks for seconds; the version check of the commit protects the seats.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(300);

impl Engine {
    /// Starts all batches that may start now.
    pub(super) fn dispatch(&self) {
        let mut scheduler = self.shared.scheduler.lock();
        let now = Instant::now();
        while let Some((group, jobs)) = scheduler.next_batch(now) {
            let engine = self.clone();
            self.shared.parts.tasks.spawn(async move { engine.run(jobs, group).await });
        }
        if let Some(due) = scheduler.set_alarm(now) {
            self.dispatch_at(due);
        }
        scheduler.report(&self.shared.parts.metrics);
    }

    fn dispatch_at(&self, due: Instant) {
        let engine = self.clone();
        self.shared.parts.tasks.spawn(async move {
            tokio::time::sleep_until(due).await;
            engine.shared.scheduler.lock().clear_alarm();
            engine.dispatch();
        });
    }

    /// Runs one batch. Commands of flights that another replica has locked return to their queues, unless they
    /// have waited for [`LOCK_WAIT_MAX`].
    async fn run(&self, jobs: Vec<Job>, group: Group) {
        let parts = &self.shared.parts;
        let mut flights: Vec<FlightId> = jobs.iter().map(|job| job.flight).collect();
        flights.sort_unstable();
        flights.dedup();
        let (engine, locked_rows) = (self.clone(), LockedRows::default());
        let mut slot = BatchSlot { engine, group, flights: flights.clone(), locked_rows };

        let taken = parts.locks.take(&flights).await;
        slot.flights = taken.flights.clone();
        slot.flights.extend(waited_for(&jobs, &taken));
        let (mut ours, elsewhere): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| slot.flights.contains(&job.flight));
        let locks = LockGuard { parts, taken: Some(taken) };
        if !elsewhere.is_empty() {
            let engine = self.clone();
            parts.tasks.spawn(async move { engine.requeue_later(elsewhere).await });
        }
        for job in &mut ours {
            job.permit = None;
        }
        slot.locked_rows = self.run_locked(ours, locks.taken(), group).await;

        // The release is sent before the next batch asks for these locks, so that batch can start now.
        let mut release = pin!(parts.locks.release(locks.into_taken()));
        let is_released = poll!(release.as_mut()).is_ready();
        drop(slot);
        if !is_released {
            release.await;
        }
    }

    /// Runs a batch on locked flights, and renews the locks meanwhile.
    async fn run_locked(&self, jobs: Vec<Job>, taken: &Taken, group: Group) -> LockedRows {
        let parts = &self.shared.parts;
        if jobs.is_empty() {
            return LockedRows::default();
        }
        let batch = Batch::new(parts, &self.shared.rows, &jobs, group);
        let mut run = pin!(batch.run(jobs));
        tokio::select! {
            biased;
            locked_rows = &mut run => return locked_rows,
            Err(Panicked) = parts.metrics.catch(Part::FlightLocks, parts.locks.keep(taken)) => {}
        }
        // The locks may lapse; the version check of the commit protects the seats.
        run.await
    }

    async fn requeue_later(&self, mut jobs: Vec<Job>) {
        for job in &mut jobs {
            job.locked_since.get_or_insert_with(Instant::now);
        }
        self.shared.parts.metrics.lock_waits.inc_by(jobs.len() as u64);
        tokio::time::sleep(LOCK_RETRY_AFTER).await;
        self.shared.scheduler.lock().requeue(jobs);
        self.dispatch();
    }
}

/// The flights that another replica has kept locked for too long.
fn waited_for(jobs: &[Job], taken: &Taken) -> BTreeSet<FlightId> {
    let is_late = |job: &&Job| {
        job.locked_since.is_some_and(|since| since.elapsed() >= LOCK_WAIT_MAX)
            && !taken.flights.contains(&job.flight)
    };
    jobs.iter().filter(is_late).map(|job| job.flight).collect()
}

/// The locks of a running batch; released even if the batch panics.
struct LockGuard<'a> {
    parts: &'a EngineParts,
    /// `None` once they are released.
    taken: Option<Taken>,
}

impl LockGuard<'_> {
    fn taken(&self) -> &Taken {
        self.taken.as_ref().expect("only `into_taken` takes the locks, by value")
    }

    fn into_taken(mut self) -> Taken {
        self.taken.take().expect("only `into_taken` takes the locks, by value")
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let locks = self.parts.locks.clone();
        let mut release = async move { locks.release(taken).await }.boxed();
        // Locks in memory are released at once. Others need the runtime; without it they lapse.
        if (&mut release).now_or_never().is_none() && Handle::try_current().is_ok() {
            self.parts.tasks.spawn(release);
        }
    }
}

/// A running batch's slot in the scheduler; returned even if the batch panics.
struct BatchSlot {
    engine: Engine,
    group: Group,
    flights: Vec<FlightId>,
    locked_rows: LockedRows,
}

impl Drop for BatchSlot {
    fn drop(&mut self) {
        let flights = self.flights.drain(..);
        self.engine.shared.scheduler.lock().end_batch(self.group, &self.locked_rows, flights);
        self.engine.dispatch();
    }
}
