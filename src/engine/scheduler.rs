//! The scheduler: which commands wait, which batches run, and when the next may start. Pure; the engine
//! keeps it behind a mutex and passes the time in.

use super::batch::LockedRows;
use super::door::EngineLimits;
use super::job::Job;
use super::queues::{FlightQueues, Group, Priority};
use crate::domain::FlightId;
use crate::telemetry::Metrics;
use tokio::time::Instant;

/// Maximum commands in a batch, each counted once for each of its flights: keeps a transaction to a few milliseconds.
const BATCH_SIZE_MAX: usize = 512;

/// The waiting commands and the running batches.
pub(super) struct Scheduler {
    limits: EngineLimits,
    queues: FlightQueues<Job>,
    /// Number of commands in a pause, since another replica has locked a flight.
    paused: usize,
    /// Running batches, without the isolated one.
    running: usize,
    /// Whether a batch of isolated flights runs, beside the others.
    is_isolated_running: bool,
    /// When the last shared batch started.
    last_started: Option<Instant>,
    /// Whether a task will dispatch when the next batch is due.
    is_alarm_set: bool,
}

impl Scheduler {
    pub(super) fn new(limits: EngineLimits) -> Self {
        Self {
            limits,
            queues: FlightQueues::default(),
            paused: 0,
            running: 0,
            is_isolated_running: false,
            last_started: None,
            is_alarm_set: false,
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        self.queues.push(job);
    }

    /// Counts commands of a batch that [`resume`](Self::resume) will return to their queues.
    pub(super) fn pause(&mut self, jobs: usize) {
        self.paused += jobs;
    }

    /// Ends the pause of commands.
    pub(super) fn resume(&mut self, jobs: Vec<Job>) {
        self.paused -= jobs.len();
        self.queues.requeue(jobs);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.paused == 0 && self.queues.is_idle()
    }

    /// Starts a batch, if one may start now.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<(Group, Vec<Job>)> {
        if self.running < self.limits.batches_max && self.next_due(now).is_none() {
            let jobs = self.queues.next_batch(Group::Shared, BATCH_SIZE_MAX, now);
            if !jobs.is_empty() {
                self.running += 1;
                self.last_started = Some(now);
                return Some((Group::Shared, jobs));
            }
        }
        if !self.is_isolated_running {
            let jobs = self.queues.next_batch(Group::Isolated, BATCH_SIZE_MAX, now);
            self.is_isolated_running = !jobs.is_empty();
            if self.is_isolated_running {
                return Some((Group::Isolated, jobs));
            }
        }
        None
    }

    /// When the next batch may start, if not now. The interval lets commands gather, so that they share the
    /// fixed cost of a batch.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = self.last_started? + self.limits.batch_interval_min;
        let is_full = self.queues.all_waiting() >= BATCH_SIZE_MAX;
        (!is_full && now < due).then_some(due)
    }

    /// When to dispatch again: set if commands wait only for the interval to pass, and no alarm is set yet.
    pub(super) fn set_alarm(&mut self, now: Instant) -> Option<Instant> {
        let is_needed = !self.is_alarm_set
            && self.running < self.limits.batches_max
            && self.queues.all_waiting() > 0;
        let due = self.next_due(now).filter(|_| is_needed)?;
        self.is_alarm_set = true;
        Some(due)
    }

    pub(super) fn clear_alarm(&mut self) {
        self.is_alarm_set = false;
    }

    /// Ends a batch: its flights are free again.
    pub(super) fn end_batch(
        &mut self,
        group: Group,
        locked_rows: &LockedRows,
        flights: impl IntoIterator<Item = FlightId>,
    ) {
        match group {
            Group::Shared => self.running -= 1,
            Group::Isolated => self.is_isolated_running = false,
        }
        locked_rows.unlocked.iter().for_each(|flight| self.queues.rejoin(*flight));
        locked_rows.locked.iter().for_each(|flight| self.queues.isolate(*flight));
        self.queues.release(flights);
    }

    pub(super) fn report(&self, metrics: &Metrics) {
        metrics.holds_queued.set(self.queues.waiting(Priority::Hold) as i64);
        metrics.urgent_queued.set(self.queues.waiting(Priority::Urgent) as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FlightIds, PaymentReference};
    use crate::rules::Command;
    use crate::telemetry::Span;
    use std::time::Duration;

    fn scheduler(batches_max: usize) -> Scheduler {
        let batch_interval_min = Duration::from_millis(3);
        Scheduler::new(EngineLimits { queued_holds_max: 9, batches_max, batch_interval_min })
    }

    fn job(flight: i64) -> Job {
        let now = chrono::DateTime::UNIX_EPOCH;
        let command = Command::Expire(PaymentReference::draw(now));
        Job::new(command, FlightIds::from([FlightId(flight)]), Span::NONE, false).0
    }

    #[test]
    fn batches_start_at_their_interval_and_one_alarm_is_set_for_the_next() {
        let (mut scheduler, start) = (scheduler(9), Instant::now());
        scheduler.push(job(1));
        assert!(scheduler.next_batch(start).is_some(), "the first starts at once");
        assert_eq!(scheduler.set_alarm(start), None, "no command waits");
        scheduler.push(job(2));
        assert!(scheduler.next_batch(start).is_none());
        let due = start + Duration::from_millis(3);
        assert_eq!(scheduler.set_alarm(start), Some(due));
        assert_eq!(scheduler.set_alarm(start), None, "it is set");
        scheduler.clear_alarm();
        assert!(scheduler.next_batch(due).is_some());
    }

    #[test]
    fn a_full_batch_starts_before_its_interval() {
        let (mut scheduler, start) = (scheduler(9), Instant::now());
        scheduler.push(job(1));
        assert!(scheduler.next_batch(start).is_some());
        (0..BATCH_SIZE_MAX).for_each(|_| scheduler.push(job(2)));
        assert!(scheduler.next_batch(start).is_some());
    }

    #[test]
    fn no_more_batches_run_than_the_limit_but_for_an_isolated_one() {
        let (mut scheduler, start) = (scheduler(1), Instant::now());
        let later = start + Duration::from_secs(1);
        scheduler.push(job(1));
        assert!(scheduler.next_batch(start).is_some());
        scheduler.push(job(1));
        scheduler.push(job(2));
        assert!(scheduler.next_batch(later).is_none());
        let found = LockedRows { locked: [FlightId(1)].into(), ..LockedRows::default() };
        scheduler.end_batch(Group::Shared, &found, [FlightId(1)]);
        let groups = [(); 2].map(|()| scheduler.next_batch(later).map(|(group, _)| group));
        assert_eq!(groups, [Some(Group::Shared), Some(Group::Isolated)]);
    }
}
