//! One batch: load, decide, commit, answer; and again with what was stale, until all is answered.
//!
//! A command is atomic, a batch is not. A batch is split in halves when the store refuses its commit, when
//! the commit takes too long, and when something panics, until the one command at fault fails alone. After
//! a commit whose outcome is unknown, its rows are read before anything is decided again.

mod after_commit;
mod attempt;
mod needed_rows;
mod renumber;
mod spans;
mod stale;
mod unknown;

use super::error::Error;
use super::job::{Job, in_order};
use super::parts::EngineParts;
use super::queues::Group;
use super::row_cache::RowCache;
use crate::domain::{DayKey, FlightId};
use crate::store::StoreError;
use crate::telemetry::{Panicked, Part, Side, Span};
use attempt::Attempt;
use needed_rows::needed_rows;
use parking_lot::Mutex;
use spans::{batch_span, source_chain};
use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tracing::{error, warn};

pub(super) use unknown::{UnknownCommit, unknown_outcome};

/// Maximum attempts that end with stale rows. Each means that another commit came first.
const STALE_MAX: u32 = 64;

/// Maximum attempts that find the store unavailable.
const OUTAGES_MAX: u32 = 4;

/// Base of the pause before an unavailable store is tried again; doubles with each attempt.
const OUTAGE_PAUSE: Duration = Duration::from_millis(20);

/// Maximum commits of a batch that take too long: enough to find one command at fault among all. Beyond it
/// the store itself is slow, and the rest of the batch fails.
const TIMEOUTS_MAX: u32 = 16;

/// Where an attempt gets its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowSource {
    /// The row cache, and the store for rows that it lacks.
    Cache,
    /// The store.
    Store,
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

/// What a batch found out: rows that other database sessions lock, and flights whose line must be served.
#[derive(Debug, Default)]
pub(super) struct LockedRows {
    /// Flights with a locked row.
    pub(super) locked: HashSet<FlightId>,
    /// Isolated flights that were written.
    pub(super) unlocked: HashSet<FlightId>,
    /// Flights with a walk due, since the batch freed seats that parties wait for.
    pub(super) due: HashSet<FlightId>,
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
    /// Commands that need a flight which they do not wait for: they go back to the queues.
    misplaced: Mutex<Vec<Job>>,
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
            misplaced: Mutex::default(),
        }
    }

    /// Answers every command, except those that it returns: they need a flight which they did not wait for.
    pub(super) async fn run(&self, mut jobs: Vec<Job>) -> (LockedRows, Vec<Job>) {
        let metrics = &self.parts.metrics;
        metrics.batch_size.observe(jobs.len() as f64);
        for (position, job) in jobs.iter_mut().enumerate() {
            metrics.wait_seconds.observe(job.arrived.elapsed().as_secs_f64());
            job.position = position;
        }
        self.finish(jobs, RowSource::Cache).await;
        let locked_rows = mem::take(&mut *self.locked_rows.lock());
        (locked_rows, mem::take(&mut *self.misplaced.lock()))
    }

    /// Makes attempts until every job is answered.
    async fn finish(&self, mut jobs: Vec<Job>, mut source: RowSource) {
        let (mut stale_attempts, mut outages) = (0, 0);
        loop {
            // Skips commands whose caller has disconnected, unless they may have been committed.
            jobs.retain(|job| job.may_be_written() || !job.is_abandoned());
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
            if planted!(unknown_outcome_is_a_refusal) {
                job.answer(Err(Error::Overloaded));
                continue;
            }
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
}
