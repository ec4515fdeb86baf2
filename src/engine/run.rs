//! Running batches: starts those that are due, takes their flights' locks, and gives everything back even
//! if a batch panics.

use super::batch::{Batch, LockedRows};
use super::door::Engine;
use super::guards::{BatchSlot, LockGuard};
use super::job::Job;
use super::queues::Group;
use crate::domain::FlightId;
use crate::lock::Taken;
use crate::rules::Command;
use crate::telemetry::{Panicked, Part};
use futures::poll;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long commands of one flight wait after another replica was found to have locked it: shorter than the
/// time for which a released lock is reserved for the waiting replica.
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(2);

/// Minimum pause of commands of several flights in the same case.
const ORDER_RETRY_MIN: Duration = Duration::from_millis(1);

/// Range of that pause above its minimum, in microseconds.
const ORDER_RETRY_SPREAD: u64 = 7_000;

/// How long commands wait for their flights' locks before they run without it. A replica that was killed keeps
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

    /// Runs one batch. Commands with a flight that another replica has locked return to their queues, unless
    /// they have waited for [`LOCK_WAIT_MAX`].
    async fn run(&self, jobs: Vec<Job>, group: Group) {
        let parts = &self.shared.parts;
        let mut flights: Vec<FlightId> = Vec::with_capacity(jobs.len());
        for job in &jobs {
            flights.extend_from_slice(&job.flights);
        }
        flights.sort_unstable();
        flights.dedup();
        let (engine, locked_rows) = (self.clone(), LockedRows::default());
        let mut slot = BatchSlot { engine, group, flights, locked_rows };

        let taken = parts.locks.take(&slot.flights).await;
        let is_all_taken = taken.flights.len() == slot.flights.len();
        let (mut ours, elsewhere) = if is_all_taken {
            (jobs, LockedElsewhere::default())
        } else {
            split_locked(jobs, &taken)
        };
        elsewhere.keep_busy(&mut slot.flights);
        let locks = LockGuard { parts, taken: Some(taken) };
        self.requeue_all_later(elsewhere);
        for job in &mut ours {
            job.permit = None;
            if let Command::Promote(flight) = job.command {
                // From now on, what frees seats queues another one.
                self.shared.promotions.lock().remove(&flight);
            }
        }
        let (locked_rows, misplaced) = self.run_locked(ours, locks.taken(), group).await;
        slot.locked_rows = locked_rows;
        self.requeue(misplaced);
        self.promote_soon(slot.locked_rows.due.drain());

        // The release is sent before the next batch asks for these locks, so that batch can start now.
        let mut release = pin!(parts.locks.release(locks.into_taken()));
        let is_released = poll!(release.as_mut()).is_ready();
        drop(slot);
        if !is_released {
            release.await;
        }
    }

    /// Runs a batch on locked flights, and renews the locks meanwhile. Returns the commands that need further flights.
    async fn run_locked(
        &self,
        jobs: Vec<Job>,
        taken: &Taken,
        group: Group,
    ) -> (LockedRows, Vec<Job>) {
        let parts = &self.shared.parts;
        if jobs.is_empty() {
            return (LockedRows::default(), Vec::new());
        }
        let batch = Batch::new(parts, &self.shared.rows, &jobs, group);
        let mut run = pin!(batch.run(jobs));
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            Err(Panicked) = parts.metrics.catch(Part::FlightLocks, parts.locks.keep(taken)) => {}
        }
        // The locks may lapse; the version check of the commit protects the seats.
        run.await
    }

    /// Puts commands into the queues of their flights, which are more than before. The end of the batch dispatches them.
    fn requeue(&self, jobs: Vec<Job>) {
        let mut scheduler = self.shared.scheduler.lock();
        for job in jobs {
            scheduler.push(job);
        }
    }

    fn requeue_all_later(&self, elsewhere: LockedElsewhere) {
        let LockedElsewhere { singles, orders } = elsewhere;
        let pause = random_pause(&orders);
        for (jobs, pause) in [(singles, LOCK_RETRY_AFTER), (orders, pause)] {
            if !jobs.is_empty() {
                self.shared.scheduler.lock().pause(jobs.len());
                let engine = self.clone();
                self.shared
                    .parts
                    .tasks
                    .spawn(async move { engine.requeue_later(jobs, pause).await });
            }
        }
    }

    async fn requeue_later(&self, mut jobs: Vec<Job>, pause: Duration) {
        for job in &mut jobs {
            job.locked_since.get_or_insert_with(Instant::now);
        }
        self.shared.parts.metrics.lock_waits.inc_by(jobs.len() as u64);
        tokio::time::sleep(pause).await;
        self.shared.scheduler.lock().resume(jobs);
        self.dispatch();
    }
}

/// Commands that return to their queues, because another replica has locked a flight.
#[derive(Default)]
struct LockedElsewhere {
    /// Commands of one flight.
    singles: Vec<Job>,
    /// Commands of several flights.
    orders: Vec<Job>,
}

impl LockedElsewhere {
    /// Removes the flights that stay busy until their commands return: other commands would ask for the same
    /// locks in vain.
    fn keep_busy(&self, flights: &mut Vec<FlightId>) {
        if !self.singles.is_empty() {
            let busy: HashSet<_> = self.singles.iter().flat_map(|job| &job.flights).collect();
            flights.retain(|flight| !busy.contains(flight));
        }
    }
}

/// Separates the commands that run, because their flights are locked for them or they have waited for too
/// long, from those that return to their queues. A flight of a command that has waited for too long counts
/// as locked for all.
fn split_locked(jobs: Vec<Job>, taken: &Taken) -> (Vec<Job>, LockedElsewhere) {
    let is_late =
        |job: &&Job| job.locked_since.is_some_and(|since| since.elapsed() >= LOCK_WAIT_MAX);
    let late = jobs.iter().filter(is_late).flat_map(|job| &job.flights);
    let ours: HashSet<FlightId> = taken.flights.iter().chain(late).copied().collect();
    let is_ours = |job: &Job| job.flights.iter().all(|flight| ours.contains(flight));
    let (runs, returns): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_ours);
    let (orders, singles) = returns.into_iter().partition(|job| job.flights.len() > 1);
    (runs, LockedElsewhere { singles, orders })
}

/// The pause of orders, which differs between replicas: if each holds some of the locks that the other
/// needs, they do not ask again at the same time. It is derived from how long the first has waited, to the
/// nanosecond.
fn random_pause(orders: &[Job]) -> Duration {
    let waited = orders.first().map(|job| job.arrived.elapsed());
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(waited);
    ORDER_RETRY_MIN + Duration::from_micros(hash % ORDER_RETRY_SPREAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::memory::MemoryCache;
    use crate::clock::SystemClock;
    use crate::domain::{BookingId, FlightIds, PaymentReference, ScheduleZone};
    use crate::engine::door::EngineLimits;
    use crate::engine::parts::EngineParts;
    use crate::engine::{AfterCommit, CompletionWaiters, Error};
    use crate::ids::RandomIds;
    use crate::lock::FlightLocks;
    use crate::lock::memory::MemoryLocks;
    use crate::rules::{ChangeSet, Command, Outcome, Policy, Refusal, State, Wanted};
    use crate::store::{Commits, Committed, Located, StoreError};
    use crate::tasks::Tasks;
    use crate::telemetry::{Metrics, Span, Tracing};
    use async_trait::async_trait;
    use std::sync::Arc;
    use tokio::sync::oneshot::Receiver;
    use tokio::sync::oneshot::error::TryRecvError;
    use tokio_util::sync::CancellationToken;

    /// A store without rows, whose reads take 2 ms.
    struct NoRows;

    #[async_trait]
    impl Commits for NoRows {
        async fn load(&self, _wanted: &Wanted) -> Result<State, StoreError> {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(State::default())
        }

        async fn commit(&self, _changes: &ChangeSet) -> Result<Committed, StoreError> {
            unreachable!("every command is refused")
        }

        async fn locate(
            &self,
            _payments: &[PaymentReference],
            _bookings: &[BookingId],
        ) -> Result<Located, StoreError> {
            Ok(Located::default())
        }

        async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
            Ok(BookingId(1))
        }

        async fn draw_booking_id_instead_of(&self, _: BookingId) -> Result<BookingId, StoreError> {
            Ok(BookingId(1))
        }
    }

    fn engine(locks: &Arc<MemoryLocks>) -> Engine {
        let parts = EngineParts {
            store: Arc::new(NoRows),
            locks: locks.clone(),
            after_commit: AfterCommit {
                cache: Arc::new(MemoryCache::default()),
                relay: Arc::default(),
            },
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            policy: Policy {
                hold_for: chrono::TimeDelta::minutes(5),
                payment_window: chrono::TimeDelta::minutes(15),
                closes_before: None,
                min_connection: chrono::TimeDelta::zero(),
                free_refusal_after: chrono::Duration::hours(2),
                offer_ttl: chrono::TimeDelta::minutes(30),
                waiting: crate::rules::waiting::Terms {
                    overtakes_max: 3,
                    gather_for: chrono::TimeDelta::hours(6),
                    release_before: chrono::TimeDelta::hours(24),
                },
            },
            zone: ScheduleZone(chrono_tz::UTC),
            metrics: Metrics::new(),
            tracing: Tracing::default(),
            waiters: CompletionWaiters::new(9, CancellationToken::new()),
            tasks: Tasks::default(),
        };
        let batch_interval_min = Duration::from_millis(1);
        Engine::new(parts, EngineLimits { queued_holds_max: 9, batches_max: 3, batch_interval_min })
    }

    type Answer = Receiver<Result<Outcome, Error>>;

    /// Submits a command over these flights, which the rules refuse.
    fn submit(engine: &Engine, flights: &[i64]) -> Answer {
        let reference = PaymentReference::draw(chrono::DateTime::UNIX_EPOCH);
        let flights: FlightIds = flights.iter().copied().map(FlightId).collect();
        let (job, answer) = Job::new(Command::Expire(reference), flights, Span::NONE, false);
        engine.shared.scheduler.lock().push(job);
        engine.dispatch();
        answer
    }

    async fn is_decided(answer: Answer) -> bool {
        let refused = answer.await.expect("an answer");
        matches!(refused, Err(Error::Refused(Refusal::UnknownPayment(_))))
    }

    async fn is_unlocked(locks: &MemoryLocks, flights: &[i64]) -> bool {
        let flights: Vec<_> = flights.iter().copied().map(FlightId).collect();
        locks.take(&flights).await.flights == flights
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_waits_for_the_locks_of_all_its_flights_and_others_pass() {
        let locks = Arc::new(MemoryLocks::default());
        let engine = engine(&locks);
        let elsewhere = locks.take(&[FlightId(2)]).await;
        let mut order = submit(&engine, &[1, 2]);
        let started = Instant::now();
        assert!(is_decided(submit(&engine, &[1])).await);
        assert!(started.elapsed() < Duration::from_millis(20));
        assert_eq!(order.try_recv().err(), Some(TryRecvError::Empty));
        tokio::time::sleep(Duration::from_micros(1)).await;
        assert!(!engine.is_idle());
        locks.release(elsewhere).await;
        assert!(is_decided(order).await);
        assert!(started.elapsed() < Duration::from_millis(40));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(engine.is_idle());
        assert!(is_unlocked(&locks, &[1, 2]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_of_several_flights_runs_without_a_lock_that_nobody_releases() {
        let locks = Arc::new(MemoryLocks::default());
        let engine = engine(&locks);
        locks.take(&[FlightId(2)]).await;
        let started = Instant::now();
        let answers = [&[1, 2, 3][..], &[2], &[4, 2]].map(|flights| submit(&engine, flights));
        for answer in answers {
            assert!(is_decided(answer).await);
        }
        assert!(started.elapsed() < 2 * LOCK_WAIT_MAX);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(engine.is_idle());
        assert!(is_unlocked(&locks, &[1, 3, 4]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn two_replicas_that_need_each_others_locks_both_end() {
        let locks = Arc::new(MemoryLocks::default());
        let replicas = [engine(&locks), engine(&locks)];
        let started = Instant::now();
        let mut answers = Vec::new();
        for turn in 0..200 {
            let (one, other) = (1 + turn % 3, 1 + (turn + 1) % 3);
            for replica in &replicas {
                answers.push(submit(replica, &[one, other]));
                answers.push(submit(replica, &[one]));
            }
            tokio::time::sleep(Duration::from_millis(turn as u64 % 3)).await;
        }
        for answer in answers {
            assert!(is_decided(answer).await);
        }
        assert!(started.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(replicas.iter().all(Engine::is_idle));
        assert!(is_unlocked(&locks, &[1, 2, 3]).await);
    }
}
