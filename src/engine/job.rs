//! A command on its way through the engine: queued, decided, and answered, or decided again.

use super::batch::{UnknownCommit, unknown_outcome};
use super::error::Error;
use super::queues::{Priority, Queued};
use crate::domain::{FlightId, FlightIds};
use crate::rules::{ChangesId, Command, Outcome, Refusal};
use crate::telemetry::Span;
use std::collections::{BTreeSet, HashSet};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// A command on its way through the engine.
pub(super) struct Job {
    pub(super) command: Command,
    /// Flights in whose queues it waits, and which its batch locks.
    pub(super) flights: FlightIds,
    /// Takes the answer; `None` afterwards.
    reply: Option<oneshot::Sender<Result<Outcome, Error>>>,
    pub(super) arrived: Instant,
    /// When another replica was first found to have locked one of the flights.
    pub(super) locked_since: Option<Instant>,
    /// Ends when the command is answered.
    pub(super) span: Span,
    /// Whether the span belongs to a caller's trace.
    pub(super) has_caller_trace: bool,
    /// Room in the queue; returned when a batch takes the command.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Position in the batch.
    pub(super) position: usize,
    /// Earlier attempts whose commits may have written the command. Bounded by the number of attempts while
    /// the store is unavailable.
    pub(super) unknown: Vec<UnknownCommit>,
    pub(super) id_conflicts: IdConflicts,
}

/// Conflicts of a hold's booking id or payment reference with another booking.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdConflicts {
    /// Number of commits that found the id in the store.
    pub(super) stored: u32,
    /// Whether another hold of the batch has the id.
    pub(super) in_batch: bool,
}

/// A decided command.
pub(super) struct Judged {
    pub(super) job: Job,
    pub(super) verdict: Verdict,
}

/// What the rules say to a command.
pub(super) struct Verdict {
    pub(super) outcome: Result<Outcome, Error>,
    /// The command's changes in the batch's change set; `None` if it writes nothing.
    pub(super) changes: Option<ChangesId>,
}

impl Job {
    /// A job, and the receiver of its answer.
    pub(super) fn new(
        command: Command,
        flights: FlightIds,
        span: Span,
        has_caller_trace: bool,
    ) -> (Self, oneshot::Receiver<Result<Outcome, Error>>) {
        let (reply, answer) = oneshot::channel();
        let job = Self {
            command,
            flights,
            reply: Some(reply),
            arrived: Instant::now(),
            locked_since: None,
            span,
            has_caller_trace,
            permit: None,
            position: 0,
            unknown: Vec::new(),
            id_conflicts: IdConflicts::default(),
        };
        (job, answer)
    }

    /// Sends the answer. No error says that nothing was written while an earlier attempt's commit may still
    /// write the command.
    pub(super) fn answer(mut self, outcome: Result<Outcome, Error>) {
        let outcome = match outcome {
            Err(error)
                if self.may_be_written()
                    && error.denies_a_write()
                    && !planted!(unknown_outcome_is_a_refusal) =>
            {
                Err(unknown_outcome())
            }
            outcome => outcome,
        };
        match &outcome {
            Ok(_) => {}
            Err(Error::Refused(_)) => self.span.note("booking.refused", true),
            Err(_) => self.span.fail("unavailable"),
        }
        // The caller may have disconnected; a committed command stands.
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(outcome);
        }
    }

    /// The flight for which the command waits in vain: the rules need it, and it is not among the command's flights. Its
    /// booking has moved there, or a change of its order holds seats there.
    pub(super) fn lacks(&self, outcome: &Result<Outcome, Error>) -> Option<FlightId> {
        match outcome {
            Err(Error::Refused(Refusal::FlightNotFound(id))) => {
                Some(*id).filter(|id| !self.flights.contains(id))
            }
            _ => None,
        }
    }

    /// Whether the caller has disconnected.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether an earlier attempt's commit may have written the command, or may still be on its way.
    pub(super) fn may_be_written(&self) -> bool {
        !self.unknown.is_empty()
    }

    fn has_key(&self) -> bool {
        let is_booking = matches!(&self.command, Command::Hold(hold) if hold.idempotency.is_some());
        is_booking || self.command.request().is_some()
    }
}

impl Queued for Job {
    fn flights(&self) -> &[FlightId] {
        &self.flights
    }

    fn priority(&self) -> Priority {
        priority_of(&self.command)
    }
}

pub(super) fn priority_of(command: &Command) -> Priority {
    match command {
        Command::Hold(_) => Priority::Hold,
        _ => Priority::Urgent,
    }
}

impl Drop for Job {
    /// Answers the caller after a panic that nothing else caught.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(reply) = self.reply.take()
        {
            let _ = reply.send(Err(Error::Panicked));
        }
    }
}

impl Judged {
    /// The job, to be decided again because a row was stale. `taken`: holds whose booking id or payment
    /// reference another booking has.
    pub(super) fn retry_stale(mut self, taken: &BTreeSet<ChangesId>) -> Job {
        let is_taken = self.verdict.changes.is_some_and(|id| taken.contains(&id));
        self.job.id_conflicts.stored += u32::from(is_taken);
        self.job
    }

    /// Whether the command names one of these flights.
    pub(super) fn is_on(&self, flights: &HashSet<FlightId>) -> bool {
        self.job.flights.iter().any(|flight| flights.contains(flight))
    }

    /// Whether the decision rests on the record of an idempotency key, which only a commit can confirm.
    pub(super) fn relies_on_key(&self) -> bool {
        self.verdict.changes.is_none() && self.job.has_key()
    }
}

/// In the order in which the commands came.
pub(super) fn in_order(jobs: impl Iterator<Item = Job>) -> Vec<Job> {
    let mut jobs: Vec<_> = jobs.collect();
    jobs.sort_by_key(|job| job.position);
    jobs
}
