//! A command on its way through its batch: waiting to be judged, judged, answered, or sent back to be
//! judged again, with what an attempt of unknown outcome decided for it.

use super::changes::{ChangeSet, Changes};
use super::command::{Command, Outcome};
use super::state::{State, Wanted};
use crate::domain::FlightId;
use crate::error::Error;
use crate::telemetry::Span;
use std::collections::HashSet;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A command on its way through a batch.
pub(super) struct Ticket {
    pub(super) command: Command,
    pub(super) flight: FlightId,
    pub(super) reply: oneshot::Sender<Result<Outcome, Error>>,
    pub(super) arrived: Instant,
    /// Ends when the command is answered.
    pub(super) span: Span,
    /// Whether the span belongs to somebody's trace.
    pub(super) is_called: bool,
}

impl Ticket {
    pub(super) fn answer(self, outcome: Result<Outcome, Error>) {
        match &outcome {
            Ok(_) => {}
            Err(Error::Refused(_)) => self.span.note("booking.refused", true),
            Err(_) => self.span.fail("unavailable"),
        }
        // The caller may be gone; what was committed stands.
        let _ = self.reply.send(outcome);
    }
}

/// What an attempt of unknown outcome decided.
pub(super) struct Earlier {
    outcome: Outcome,
    changes: Changes,
}

/// A ticket and what an earlier attempt, whose outcome is unknown, decided for it.
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    /// Where it stood in its line.
    pub(super) place: usize,
    pub(super) earlier: Option<Box<Earlier>>,
}

/// A command that was judged, and where its changes stand in the change set.
pub(super) struct Decided {
    pub(super) ticket: Ticket,
    pub(super) place: usize,
    pub(super) earlier: Option<Box<Earlier>>,
    pub(super) outcome: Result<Outcome, Error>,
    pub(super) position: Option<usize>,
}

impl Decided {
    /// An earlier attempt of unknown outcome stays in question: its commit may only now arrive.
    pub(super) fn again(self) -> Pending {
        Pending { ticket: self.ticket, place: self.place, earlier: self.earlier }
    }

    pub(super) fn again_unless_committed(self, changes: &ChangeSet) -> Pending {
        let earlier = match (self.outcome, self.position) {
            (Ok(outcome), Some(position)) => {
                let changes = changes.commands[position].clone();
                Some(Box::new(Earlier { outcome, changes }))
            }
            _ => self.earlier,
        };
        Pending { ticket: self.ticket, place: self.place, earlier }
    }

    /// Whether it was judged on a record that only the commit itself could confirm.
    fn leans_on_a_key(&self) -> bool {
        self.position.is_none()
            && matches!(&self.ticket.command, Command::Hold(hold) if hold.idempotency.is_some())
    }
}

/// Parts what stands from what must be decided again: commands that wrote nothing because a row
/// was stale, and all that were judged after them on the same flight.
pub(super) fn sort_out(decided: Vec<Decided>, stale: &[usize]) -> (Vec<Decided>, Vec<Decided>) {
    if stale.is_empty() {
        return (decided, Vec::new());
    }
    let is_stale = |d: &Decided| d.position.is_some_and(|position| stale.contains(&position));
    let flights: HashSet<FlightId> =
        decided.iter().filter(|d| is_stale(d)).map(|d| d.ticket.flight).collect();
    decided.into_iter().partition(|d| !flights.contains(&d.ticket.flight) && !d.leans_on_a_key())
}

/// Answers those that an earlier commit of unknown outcome did write; gives back the rest.
pub(super) fn answer_committed(pending: Vec<Pending>, state: &State) -> Vec<Pending> {
    let mut rest = Vec::with_capacity(pending.len());
    for p in pending {
        match p.earlier {
            Some(earlier) if stands(&earlier.changes, state) => {
                p.ticket.answer(Ok(earlier.outcome));
            }
            earlier => rest.push(Pending { earlier, ..p }),
        }
    }
    rest
}

/// Whether the rows are as these changes would have left them, or went on from there.
fn stands(changes: &Changes, state: &State) -> bool {
    if let Some(change) = &changes.booking {
        let after = &change.after;
        return state.bookings.get(&after.id).is_some_and(|booking| match change.was {
            // Its number and reference are nobody else's; it may have been paid for since.
            None => booking.payment_reference == after.payment_reference,
            Some(_) => booking.status == after.status && booking.updated_at == after.updated_at,
        });
    }
    if let Some(change) = &changes.payment {
        return state.payments.get(&change.after.reference) == Some(&change.after);
    }
    let flight = changes.flight.as_ref();
    flight.is_some_and(|change| state.flights.get(&change.after.id) == Some(&change.after))
}

/// The rows that these commands need.
pub(super) fn wanted(pending: &[Pending]) -> Wanted {
    let mut wanted = Wanted::default();
    for p in pending {
        wanted.flights.insert(p.ticket.flight);
        match &p.ticket.command {
            Command::Hold(hold) => {
                if p.earlier.is_some() {
                    wanted.payments.insert(hold.reference);
                }
                let key = hold.idempotency.as_ref().map(|i| (hold.user_id, i.key.clone()));
                wanted.idempotency.extend(key);
            }
            Command::Settle(settle) => _ = wanted.payments.insert(settle.reference),
            Command::Expire(reference) => _ = wanted.payments.insert(*reference),
            Command::Cancel(cancel) => _ = wanted.bookings.insert(cancel.booking_id),
            Command::PutFlight(_) => {}
        }
    }
    wanted
}
