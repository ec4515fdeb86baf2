//! One batch: load, decide, commit, answer; and again with what was stale, until all is answered.
//!
//! A command is atomic, a batch is not. A batch is split in halves when the store refuses its commit, when
//! the commit takes too long, and when something panics, until the one command at fault fails alone. After
//! a commit whose outcome is unknown, its rows are read before anything is decided again.

use super::error::Error;
use super::job::{Job, Judged, Verdict, in_order};
use super::needed_rows::{needed_rows, refuse_unreadable};
use super::parts::EngineParts;
use super::queues::Group;
use super::renumber::{is_taken_in_batch, renumber};
use super::row_cache::RowCache;
use super::spans::{batch_span, source_chain};
use super::stale::{count_stale, refuse_locked, split_stale};
use super::unknown::{Written, remember, split_written, unknown_outcome};
use crate::domain::{BookingStatus, DayKey, FailureReason, FlightId, Timestamp, route_key};
use crate::rules::{ChangeSet, Changes, Decision, State, decide};
use crate::store::{Committed, StoreError};
use crate::telemetry::{Panicked, Part, Side, Span};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tracing::{error, warn};

/// Maximum attempts that end with stale rows. Each means that another commit came first.
const STALE_MAX: u32 = 64;

/// Maximum attempts that find the store unavailable.
const OUTAGES_MAX: u32 = 4;

/// Base of the pause before an unavailable store is tried again; doubles with each attempt.
const OUTAGE_PAUSE: Duration = Duration::from_millis(20);

/// Maximum commits of a batch that take too long: enough to find one command at fault among all. Beyond it
/// the store itself is slow, and the rest of the batch fails.
const TIMEOUTS_MAX: u32 = 16;

/// Callers to wake before other tasks get their turn.
const WAKE_CHUNK: usize = 8;

/// Where an attempt gets its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowSource {
    /// The row cache, and the store for rows that it lacks.
    Cache,
    /// The store.
    Store,
}

/// The rows that an attempt decides on.
struct Rows {
    state: State,
    /// Flights that come from the cache.
    cached: HashSet<FlightId>,
    /// Whether no row comes from the cache.
    is_all_loaded: bool,
}

/// The end of an attempt.
enum Attempt {
    /// The batch was committed and its commands answered, except these, which are decided again. `stale`:
    /// their rows had changed. `unconfirmed`: they write nothing and were decided on cached rows, or their
    /// booking id is taken in this batch.
    Done { stale: Vec<Job>, unconfirmed: Vec<Job> },
    /// Nothing is answered.
    Failed(Vec<Job>, Failure),
}

/// Why an attempt failed.
enum Failure {
    /// The store did not answer; the outcome of a commit is unknown.
    Outage(StoreError),
    /// The store refused; nothing was written.
    Refused(StoreError),
    /// Something panicked; the outcome of a commit is unknown.
    Panicked,
}

/// What a batch found out about rows that other database sessions lock.
#[derive(Debug, Default)]
pub(super) struct LockedRows {
    /// Flights with a locked row.
    pub(super) locked: HashSet<FlightId>,
    /// Isolated flights that were written.
    pub(super) unlocked: HashSet<FlightId>,
}

/// Runs one batch.
pub(super) struct Batch<'a> {
    parts: &'a EngineParts,
    rows: &'a RowCache,
    span: Span,
    group: Group,
    locked_rows: Mutex<LockedRows>,
    /// Number of commits whose outcome is unknown.
    unknown_commits: AtomicU32,
    /// Cached answers that such a commit invalidates, if it was made.
    unknown_days: Mutex<BTreeSet<DayKey>>,
    /// Number of commits that took too long.
    timeouts: AtomicU32,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        parts: &'a EngineParts,
        rows: &'a RowCache,
        jobs: &[Job],
        group: Group,
    ) -> Self {
        Self {
            parts,
            rows,
            span: batch_span(parts, jobs),
            group,
            locked_rows: Mutex::default(),
            unknown_commits: AtomicU32::default(),
            unknown_days: Mutex::default(),
            timeouts: AtomicU32::default(),
        }
    }

    /// Answers every command.
    pub(super) async fn run(&self, mut jobs: Vec<Job>) -> LockedRows {
        let metrics = &self.parts.metrics;
        metrics.batch_size.observe(jobs.len() as f64);
        for (position, job) in jobs.iter_mut().enumerate() {
            metrics.wait_seconds.observe(job.arrived.elapsed().as_secs_f64());
            job.position = position;
        }
        self.finish(jobs, RowSource::Cache).await;
        mem::take(&mut *self.locked_rows.lock())
    }

    /// Makes attempts until every job is answered.
    async fn finish(&self, mut jobs: Vec<Job>, mut source: RowSource) {
        let (mut stale_attempts, mut outages) = (0, 0);
        loop {
            // Skips commands whose caller has disconnected, unless they may have been committed.
            jobs.retain(|job| !job.unknown.is_empty() || !job.is_abandoned());
            if jobs.is_empty() {
                return;
            }
            jobs = match self.attempt(jobs, source).await {
                Attempt::Done { mut stale, unconfirmed } => {
                    stale_attempts += u32::from(!stale.is_empty());
                    if stale_attempts >= STALE_MAX {
                        stale.drain(..).for_each(|job| job.answer(Err(Error::Overloaded)));
                    }
                    in_order(stale.into_iter().chain(unconfirmed))
                }
                Attempt::Failed(jobs, Failure::Outage(cause)) => {
                    outages += 1;
                    warn!(error = %source_chain(&cause), outages, "the store is unavailable");
                    if outages >= OUTAGES_MAX || self.is_slow() {
                        return self.give_up(jobs);
                    }
                    tokio::time::sleep(OUTAGE_PAUSE * 2_u32.pow(outages)).await;
                    jobs
                }
                Attempt::Failed(jobs, Failure::Refused(cause)) => {
                    return self.split(jobs, Some(cause)).await;
                }
                Attempt::Failed(jobs, Failure::Panicked) => return self.split(jobs, None).await,
            };
            source = RowSource::Store;
        }
    }

    fn give_up(&self, jobs: Vec<Job>) {
        self.invalidate_unknown();
        for job in jobs {
            let unavailable = StoreError::Unavailable(anyhow::anyhow!("the retries are used up"));
            job.answer(Err(unavailable.into()));
        }
    }

    /// Tries each half alone, so that one command at fault fails no other. `cause`: the store's refusal;
    /// `None` after a panic.
    async fn split(&self, mut jobs: Vec<Job>, cause: Option<StoreError>) {
        if jobs.len() == 1 {
            let Some(cause) = cause else { return self.fail_after_panic(jobs).await };
            error!(error = %source_chain(&cause), "the store refused a command");
            for job in jobs {
                let refused = StoreError::Refused(anyhow::anyhow!("logged with its cause"));
                job.answer(Err(refused.into()));
            }
            return;
        }
        let second = jobs.split_off(jobs.len() / 2);
        Box::pin(self.finish(jobs, RowSource::Store)).await;
        Box::pin(self.finish(second, RowSource::Store)).await;
    }

    /// Answers the command that panicked by itself with an error, unless its rows show that it was written.
    async fn fail_after_panic(&self, jobs: Vec<Job>) {
        let wanted = needed_rows(&jobs, self.parts.clock.now());
        let loaded = self.call("store.load", self.parts.store.load(&wanted)).await;
        self.invalidate_unknown();
        let jobs = match loaded {
            Ok(state) => self.answer_committed(jobs, &state),
            Err(_) => jobs,
        };
        for job in jobs {
            error!(command = job.command.name(), "a command failed: it panicked");
            job.answer(Err(Error::Panicked));
        }
    }

    /// Loads, decides, commits and answers.
    async fn attempt(&self, jobs: Vec<Job>, source: RowSource) -> Attempt {
        let mut rows = match self.load(&jobs, source).await {
            Ok(rows) => rows,
            Err(failure) => return Attempt::Failed(jobs, failure),
        };
        self.invalidate_unknown();
        let jobs = refuse_unreadable(self.answer_committed(jobs, &rows.state), &rows.state);
        let mut jobs = renumber(self.parts, jobs, &rows.state).await;
        let judge = || self.judge(&mut jobs, &mut rows.state);
        let Ok((verdicts, mut changes)) = self.parts.metrics.catch_now(Part::Batch, judge) else {
            return Attempt::Failed(jobs, Failure::Panicked);
        };
        let judged = jobs.into_iter().zip(verdicts);
        let mut judged: Vec<_> = judged.map(|(job, verdict)| Judged { job, verdict }).collect();
        let is_unconfirmed = |j: &mut Judged| {
            j.job.id_conflicts.in_batch || !rows.is_all_loaded && j.verdict.changes.is_none()
        };
        let unconfirmed = judged.extract_if(.., is_unconfirmed).map(|j| j.job).collect();
        let days = self.days_of(&changes);
        if self.parts.after_commit.cache.is_told() {
            changes.outdated.clone_from(&days);
        }
        changes.waits_briefly = self.group == Group::Isolated;
        self.commit(judged, unconfirmed, &changes, days, &rows.cached).await
    }

    /// Takes the rows from the cache, and loads what it lacks.
    async fn load(&self, jobs: &[Job], source: RowSource) -> Result<Rows, Failure> {
        let mut wanted = needed_rows(jobs, self.parts.clock.now());
        let mut state = match source {
            RowSource::Cache => self.rows.take(&mut wanted),
            RowSource::Store => State::default(),
        };
        let cached: HashSet<FlightId> = state.flights.keys().copied().collect();
        let is_all_loaded =
            cached.is_empty() && state.payments.is_empty() && state.pending.is_empty();
        if !wanted.is_empty() {
            let loaded = self.call("store.load", self.parts.store.load(&wanted)).await?;
            self.rows.put_pending(&loaded);
            state.extend(loaded);
        }
        Ok(Rows { state, cached, is_all_loaded })
    }

    /// Decides each command on the state that the earlier ones left.
    fn judge(&self, jobs: &mut [Job], state: &mut State) -> (Vec<Verdict>, ChangeSet) {
        let now = self.parts.clock.now();
        let mut verdicts = Vec::with_capacity(jobs.len());
        let mut changes = ChangeSet::default();
        for job in jobs {
            job.id_conflicts.in_batch = is_taken_in_batch(&job.command, state);
            if job.id_conflicts.in_batch {
                verdicts.push(Verdict { outcome: Err(unknown_outcome()), changes: None });
                continue;
            }
            let Decision { outcome, changes: decided } =
                decide(state, &job.command, now, &self.parts.policy);
            state.apply(&decided);
            if let Some(change) = &decided.flight {
                self.parts.metrics.observe_version(change.after.version);
            }
            let index = (!decided.is_empty()).then_some(changes.commands.len());
            if index.is_some() {
                changes.commands.push(self.in_trace(job, decided));
            }
            let outcome = outcome.map_err(|refusal| {
                if job.may_be_overwritten() { unknown_outcome() } else { refusal.into() }
            });
            verdicts.push(Verdict { outcome, changes: index });
        }
        (verdicts, changes)
    }

    /// Commits the changes, and answers the commands that were written.
    async fn commit(
        &self,
        judged: Vec<Judged>,
        unconfirmed: Vec<Job>,
        changes: &ChangeSet,
        days: Vec<DayKey>,
        cached: &HashSet<FlightId>,
    ) -> Attempt {
        if changes.commands.is_empty() {
            self.answer(judged, changes);
            return Attempt::Done { stale: Vec::new(), unconfirmed };
        }
        match self.call("store.commit", self.parts.store.commit(changes)).await {
            Ok(committed) => {
                self.parts.after_commit.run(&days);
                let stale = self.answer_written(judged, changes, &committed, cached);
                Attempt::Done { stale, unconfirmed }
            }
            Err(Failure::Refused(cause)) => {
                let jobs = in_order(judged.into_iter().map(|j| j.job).chain(unconfirmed));
                let is_late = matches!(cause, StoreError::TimedOut(_));
                let is_outage = is_late && self.is_outage(&jobs);
                let failure =
                    if is_outage { Failure::Outage(cause) } else { Failure::Refused(cause) };
                Attempt::Failed(jobs, failure)
            }
            Err(failure @ (Failure::Outage(_) | Failure::Panicked)) => {
                // The commit may still be made between two searches, so its answers are invalidated now,
                // and again when its outcome is known.
                self.unknown_days.lock().extend(days);
                self.invalidate_unknown();
                let commit = self.unknown_commits.fetch_add(1, Ordering::Relaxed);
                let jobs = in_order(remember(judged, changes, commit).chain(unconfirmed));
                Attempt::Failed(jobs, failure)
            }
        }
    }

    /// Answers the commands that the commit has written, and those of locked flights; returns the others,
    /// to be decided again.
    fn answer_written(
        &self,
        judged: Vec<Judged>,
        changes: &ChangeSet,
        committed: &Committed,
        cached: &HashSet<FlightId>,
    ) -> Vec<Job> {
        let (written, stale) = split_stale(judged, &committed.stale);
        let changed_elsewhere = count_stale(&self.parts.metrics, &stale, committed);
        if !cached.is_disjoint(&changed_elsewhere) {
            self.rows.bypass_flights();
        }
        let all = written.iter().filter_map(|j| Some(&changes.commands[j.verdict.changes?]));
        self.rows.put(all.clone());
        self.notify_waiters(all);
        if self.group == Group::Isolated {
            let flight = |j: &Judged| j.verdict.changes.map(|_| j.job.flight);
            self.locked_rows.lock().unlocked.extend(written.iter().filter_map(flight));
        }
        self.answer(written, changes);
        let (stale, locked) = refuse_locked(stale, &committed.locked);
        self.locked_rows.lock().locked.extend(locked);
        stale.into_iter().map(|j| j.retry_stale(&committed.taken)).collect()
    }

    /// Answers and counts the commands that an earlier commit of unknown outcome has written, wakes the callers
    /// that wait for their bookings, and returns the other commands.
    fn answer_committed(&self, jobs: Vec<Job>, state: &State) -> Vec<Job> {
        let (written, rest) = split_written(jobs, state);
        if written.is_empty() {
            return rest;
        }
        for Written { changes, .. } in &written {
            self.count(changes);
        }
        self.notify_waiters(written.iter().map(|written| &written.changes));
        for Written { job, outcome, .. } in written {
            job.answer(Ok(outcome));
        }
        rest
    }

    /// Wakes the callers that wait for bookings that these changes ended.
    fn notify_waiters<'c>(&self, written: impl Iterator<Item = &'c Changes>) {
        let bookings = written.filter_map(|changes| Some(&changes.booking.as_ref()?.after));
        self.parts.waiters.notify(bookings.filter(|b| b.status != BookingStatus::Pending));
    }

    /// Invalidates the answers of commits whose outcome is unknown.
    fn invalidate_unknown(&self) {
        let days = self.unknown_days.lock();
        if !days.is_empty() {
            self.parts.after_commit.run(&days.iter().cloned().collect::<Vec<_>>());
        }
    }

    /// Whether a commit that took too long is tried again unchanged, and not split.
    fn is_outage(&self, jobs: &[Job]) -> bool {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
        jobs.len() == 1 || self.is_slow()
    }

    fn is_slow(&self) -> bool {
        self.timeouts.load(Ordering::Relaxed) >= TIMEOUTS_MAX
    }

    /// Calls the store in a span of the batch, and catches a panic of the call.
    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failure> {
        let span = self.parts.tracing.span(name, Side::Client, &self.span.context());
        let outcome = self.parts.metrics.catch(Part::Batch, call).await;
        if !matches!(outcome, Ok(Ok(_))) {
            span.fail("store");
        }
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause @ StoreError::Unavailable(_))) => Err(Failure::Outage(cause)),
            Ok(Err(cause)) => Err(Failure::Refused(cause)),
            Err(Panicked) => Err(Failure::Panicked),
        }
    }

    /// Attaches the command's trace to its changes; without a caller's trace, the trace in which the payment
    /// began.
    fn in_trace(&self, job: &Job, changes: Changes) -> Changes {
        if !self.parts.tracing.is_on() {
            return changes;
        }
        let began = changes.payment.as_ref().and_then(|change| change.after.traceparent.clone());
        let trace = match began {
            Some(began) if !job.has_caller_trace => Some(began),
            _ => job.span.context().traceparent(),
        };
        changes.in_trace(trace)
    }

    /// Wakes callers in chunks and yields in between, so that their work does not delay the next batch.
    fn answer(&self, judged: Vec<Judged>, changes: &ChangeSet) {
        for Judged { verdict, .. } in &judged {
            match verdict.changes {
                Some(index) => self.count(&changes.commands[index]),
                None if verdict.outcome.is_err() => self.parts.metrics.count_booking("refused"),
                None => {}
            }
        }
        self.parts.tasks.spawn(async move {
            for (answered, Judged { job, verdict }) in judged.into_iter().enumerate() {
                if answered > 0 && answered % WAKE_CHUNK == 0 {
                    tokio::task::yield_now().await;
                }
                job.answer(verdict.outcome);
            }
        });
    }

    fn count(&self, changes: &Changes) {
        let Some(booking) = &changes.booking else { return };
        self.parts.metrics.count_booking(
            match (booking.after.status, booking.after.failure_reason) {
                (BookingStatus::Pending, _) => "held",
                (BookingStatus::Completed, _) => "completed",
                (BookingStatus::Failed, Some(FailureReason::HoldExpired)) => "expired",
                (BookingStatus::Failed, _) => "failed",
                (BookingStatus::Cancelled, _) => "cancelled",
            },
        );
    }

    /// The routes and days whose cached answers these changes invalidate: those of the flights before and
    /// after.
    fn days_of(&self, changes: &ChangeSet) -> Vec<DayKey> {
        let flights = changes.commands.iter().filter_map(|command| command.flight.as_ref());
        let departures: HashSet<(&str, &str, Timestamp)> = flights
            .flat_map(|change| [&change.was, &change.after])
            .map(|flight| (&*flight.source, &*flight.destination, flight.departs_at))
            .collect();
        let days: BTreeSet<DayKey> = departures
            .into_iter()
            .map(|(source, destination, departs_at)| DayKey {
                route: route_key(source, destination),
                date: self.parts.zone.day_of(departs_at),
            })
            .collect();
        days.into_iter().collect()
    }
}
