//! What follows a commit: caches learn of it, callers get their answers, stale commands go back.

use super::Batch;
use super::stale::{count_stale, refuse_locked, split_stale};
use super::unknown::{Written, split_written};
use crate::domain::{BookingStatus, EntryStatus, FailureReason, FlightId};
use crate::engine::job::{Job, Judged};
use crate::engine::queues::Group;
use crate::rules::{BookingChange, Change, ChangeSet, Changes, State};
use crate::store::Committed;
use std::collections::HashSet;

/// Callers to wake before other tasks get their turn.
const WAKE_CHUNK: usize = 8;

impl Batch<'_> {
    /// Answers the commands that the commit has written, and those of locked flights; returns the others,
    /// to be decided again.
    pub(super) fn answer_written(
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
        let all = written.iter().filter_map(|j| Some(&changes[j.verdict.changes?]));
        self.rows.put(all.clone());
        self.notify_waiters(all.clone());
        self.note_due(all);
        if self.group == Group::Isolated {
            let changed = written.iter().filter(|j| j.verdict.changes.is_some());
            self.locked_rows.lock().unlocked.extend(changed.flat_map(|j| &j.job.flights));
        }
        self.answer(written, changes);
        let (stale, locked) = refuse_locked(stale, &committed.locked, self.group);
        self.locked_rows.lock().locked.extend(locked);
        stale.into_iter().map(|j| j.retry_stale(&committed.taken)).collect()
    }

    /// Answers and counts the commands that an earlier commit of unknown outcome has written, wakes the callers
    /// that wait for their bookings, and returns the other commands.
    pub(super) fn answer_committed(&self, jobs: Vec<Job>, state: &State) -> Vec<Job> {
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
        let bookings = written.flat_map(|changes| changes.bookings.iter().map(|c| &c.after));
        self.parts.waiters.notify(bookings.filter(|b| b.status != BookingStatus::Pending));
    }

    /// Notes the flights that these changes leave with a walk due.
    fn note_due<'c>(&self, written: impl Iterator<Item = &'c Changes>) {
        let now = self.parts.clock.now();
        for change in written.flat_map(|changes| &changes.flights) {
            let (id, line) = (change.after.id, &change.after.line);
            if line.waiting > 0 {
                let due = &mut self.locked_rows.lock().due;
                if line.is_due(now) {
                    due.insert(id)
                } else {
                    due.remove(&id)
                };
            }
        }
    }

    /// Invalidates the answers of commits whose outcome is unknown.
    pub(super) fn invalidate_unknown(&self) {
        let days = self.unknown_days.lock();
        if !days.is_empty() {
            self.parts.after_commit.run(&days.iter().cloned().collect::<Vec<_>>());
        }
    }

    /// Wakes callers in chunks and yields in between, so that their work does not delay the next batch.
    pub(super) fn answer(&self, judged: Vec<Judged>, changes: &ChangeSet) {
        for Judged { job, verdict } in &judged {
            match verdict.changes {
                Some(id) => self.count(&changes[id]),
                None if verdict.outcome.is_err() && !job.may_be_written() => {
                    self.parts.metrics.count_booking("refused");
                }
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

    /// Counts the bookings whose status changes, but for those that hold seats for a change of another.
    fn count(&self, changes: &Changes) {
        for change in &changes.entries {
            if change.was.is_none() || !change.after.status.is_active() {
                self.parts.metrics.count_entry(change.after.status.as_str());
            } else if change.after.status == EntryStatus::Offered {
                self.parts.metrics.count_entry("offered");
            }
        }
        let is_counted = |change: &&BookingChange| {
            let was = change.was.map(|was| was.status);
            was != Some(change.after.status) && change.after.replaces.is_none()
        };
        for Change { after: booking, .. } in changes.bookings.iter().filter(is_counted) {
            self.parts.metrics.count_booking(match (booking.status, booking.failure_reason) {
                (BookingStatus::Pending, _) => "held",
                (BookingStatus::Completed, _) => "completed",
                (BookingStatus::Failed, Some(FailureReason::HoldExpired)) => "expired",
                (BookingStatus::Failed, _) => "failed",
                (BookingStatus::Cancelled, _) => "cancelled",
            });
        }
    }
}
