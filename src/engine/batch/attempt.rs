//! One attempt at a batch: load the rows, judge the commands, commit the changes.

use super::needed_rows::{needed_rows, refuse_unreadable};
use super::renumber::{is_taken_in_batch, renumber};
use super::unknown::{remember, unknown_outcome};
use super::{Batch, Failure, RowSource};
use crate::domain::{DayKey, FlightId, Timestamp, route_key};
use crate::engine::Error;
use crate::engine::job::{Job, Judged, Verdict, in_order};
use crate::rules::{ChangeSet, Changes, Decision, State, decide};
use crate::store::StoreError;
use crate::telemetry::Part;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

/// Maximum flights of a command that was located again: a booking that moves faster than its commands follow it.
const FLIGHTS_MAX: usize = 32;

/// The end of an attempt.
pub(super) enum Attempt {
    /// The batch was committed and its commands answered, except these, which are decided again. `stale`:
    /// their rows had changed. `unconfirmed`: they write nothing and were decided on cached rows, or their
    /// booking id is taken in this batch.
    Done { stale: Vec<Job>, unconfirmed: Vec<Job> },
    /// Nothing is answered.
    Failed(Vec<Job>, Failure),
}

/// The rows that an attempt decides on.
struct Rows {
    state: State,
    /// Flights that come from the cache.
    cached: HashSet<FlightId>,
    /// Whether no row comes from the cache.
    is_all_loaded: bool,
}

/// The decided commands of an attempt, and what to commit for them.
struct Decided {
    judged: Vec<Judged>,
    /// Commands to decide again, on rows from the store.
    unconfirmed: Vec<Job>,
    changes: ChangeSet,
    /// The routes and days whose cached answers the changes invalidate.
    days: Vec<DayKey>,
    /// Flights whose rows come from the cache.
    cached: HashSet<FlightId>,
}

impl Batch<'_> {
    /// Loads, judges, commits and answers.
    pub(super) async fn attempt(&self, jobs: Vec<Job>, source: RowSource) -> Attempt {
        let rows = match self.load(&jobs, source).await {
            Ok(rows) => rows,
            Err(failure) => return Attempt::Failed(jobs, failure),
        };
        self.invalidate_unknown();
        let jobs = refuse_unreadable(self.answer_committed(jobs, &rows.state), &rows.state);
        let jobs = renumber(self.parts, jobs, &rows.state).await;
        match self.judge(jobs, rows) {
            Ok(decided) => self.commit(decided).await,
            Err(jobs) => Attempt::Failed(jobs, Failure::Panicked),
        }
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

    /// Decides the commands. Returns them undecided if a decision panics.
    fn judge(&self, mut jobs: Vec<Job>, mut rows: Rows) -> Result<Decided, Vec<Job>> {
        let decide_all = || self.decide_all(&mut jobs, &mut rows.state);
        let decided = self.parts.metrics.catch_now(Part::Batch, decide_all);
        let Ok((verdicts, mut changes)) = decided else { return Err(jobs) };
        let judged = jobs.into_iter().zip(verdicts);
        let mut judged: Vec<_> = judged.map(|(job, verdict)| Judged { job, verdict }).collect();
        let is_unconfirmed = |j: &mut Judged| {
            j.job.id_conflicts.in_batch
                || !rows.is_all_loaded
                    && j.verdict.changes.is_none()
                    && !planted!(answered_from_cached_rows)
        };
        let unconfirmed = judged.extract_if(.., is_unconfirmed).map(|j| j.job).collect();
        self.set_aside_misplaced(&mut judged);
        let days = self.days_of(&changes);
        if self.parts.after_commit.cache.needs_outbox() {
            changes.invalidated.clone_from(&days);
        }
        Ok(Decided { judged, unconfirmed, changes, days, cached: rows.cached })
    }

    /// Takes out the commands whose booking is, or holds seats, on a flight that they do not wait for. They join its
    /// queue too.
    fn set_aside_misplaced(&self, judged: &mut Vec<Judged>) {
        let is_misplaced = |j: &mut Judged| j.job.lacks(&j.verdict.outcome).is_some();
        for Judged { mut job, verdict } in judged.extract_if(.., is_misplaced) {
            job.flights.extend(job.lacks(&verdict.outcome));
            if job.may_be_written() {
                // Another batch could not tell whether the earlier commit was made.
                job.answer(Err(unknown_outcome()));
            } else if job.flights.len() > FLIGHTS_MAX {
                job.answer(Err(Error::Overloaded));
            } else {
                self.misplaced.lock().push(job);
            }
        }
    }

    /// Decides each command on the state that the earlier ones left. Returns a verdict for each.
    fn decide_all(&self, jobs: &mut [Job], state: &mut State) -> (Vec<Verdict>, ChangeSet) {
        let mut changes = ChangeSet::default();
        let now = self.parts.clock.now();
        let judge = |job: &mut Job| {
            job.id_conflicts.in_batch = is_taken_in_batch(&job.command, state);
            if job.id_conflicts.in_batch {
                return Verdict { outcome: Err(unknown_outcome()), changes: None };
            }
            let Decision { outcome, changes: decided } =
                decide(state, &job.command, now, &self.parts.policy);
            state.apply(&decided);
            for change in &decided.flights {
                self.parts.metrics.observe_version(change.after.version);
            }
            let id = (!decided.is_empty()).then(|| changes.push(self.in_trace(job, decided)));
            Verdict { outcome: outcome.map_err(Error::from), changes: id }
        };
        let verdicts = jobs.iter_mut().map(judge).collect();
        (verdicts, changes)
    }

    /// Commits the changes, and answers the commands that were written.
    async fn commit(&self, decided: Decided) -> Attempt {
        let Decided { judged, unconfirmed, changes, days, cached } = decided;
        if changes.commands.is_empty() {
            self.answer(judged, &changes);
            return Attempt::Done { stale: Vec::new(), unconfirmed };
        }
        if planted!(answered_before_the_commit) {
            self.answer(judged, &changes);
            _ = self.parts.store.commit(&changes).await;
            return Attempt::Done { stale: Vec::new(), unconfirmed };
        }
        match self.call("store.commit", self.parts.store.commit(&changes)).await {
            Ok(committed) => {
                self.parts.after_commit.run(&days);
                let stale = self.answer_written(judged, &changes, &committed, &cached);
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
                let jobs = in_order(remember(judged, &changes, commit).chain(unconfirmed));
                Attempt::Failed(jobs, failure)
            }
        }
    }

    /// Attaches the command's trace to its changes; without a caller's trace, the trace in which the payment
    /// began.
    fn in_trace(&self, job: &Job, changes: Changes) -> Changes {
        if !self.parts.tracing.is_on() {
            return changes;
        }
        let began = changes.payments.first().and_then(|change| change.after.traceparent.clone());
        let trace = match began {
            Some(began) if !job.has_caller_trace => Some(began),
            _ => job.span.context().traceparent(),
        };
        changes.in_trace(trace)
    }

    /// The routes and days whose cached answers these changes invalidate: those of the flights before and
    /// after; and the timetables of these days, if more than seats changes.
    fn days_of(&self, changes: &ChangeSet) -> Vec<DayKey> {
        let departures: HashSet<(&str, &str, Timestamp)> = changes
            .flights()
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
        let rescheduled = changes.flights().filter(|c| !c.after.has_schedule_of(&c.was));
        let timetables: BTreeSet<DayKey> = rescheduled
            .flat_map(|change| [&change.was, &change.after])
            .map(|flight| DayKey::timetable(self.parts.zone.day_of(flight.departs_at)))
            .collect();
        days.into_iter().chain(timetables).collect()
    }
}
