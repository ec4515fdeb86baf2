//! A command on its way through its batch: waiting to be judged, judged, answered, or sent back to be
//! judged again, with what an attempt of unknown outcome decided for it.

use super::error::Error;
use crate::domain::{Booking, Flight, FlightId, Timestamp};
use crate::rules::{ChangeSet, Changes, Command, Outcome, RequestKey, State, Wanted};
use crate::store::StoreError;
use crate::telemetry::Span;
use std::collections::{HashMap, HashSet};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A command on its way through a batch.
pub(crate) struct Ticket {
    pub(crate) command: Command,
    pub(crate) flight: FlightId,
    /// Where its answer goes; taken by it.
    pub(crate) reply: Option<oneshot::Sender<Result<Outcome, Error>>>,
    pub(crate) arrived: Instant,
    /// Ends when the command is answered.
    pub(crate) span: Span,
    /// Whether the span belongs to somebody's trace.
    pub(crate) is_called: bool,
}

impl Ticket {
    pub(crate) fn answer(mut self, outcome: Result<Outcome, Error>) {
        match &outcome {
            Ok(_) => {}
            Err(Error::Refused(_)) => self.span.note("booking.refused", true),
            Err(_) => self.span.fail("unavailable"),
        }
        // The caller may be gone; what was committed stands.
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(outcome);
        }
    }

    /// Whether the caller went away.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl Drop for Ticket {
    /// A panic that nothing caught on its way leaves no caller without an answer.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(reply) = self.reply.take()
        {
            let _ = reply.send(Err(Error::Panicked));
        }
    }
}

/// What an attempt of unknown outcome decided.
pub(crate) struct Earlier {
    outcome: Outcome,
    changes: Changes,
    attempt: u32,
    /// The flight as the attempt's last command would have left it.
    flight: Option<Flight>,
}

/// A ticket and what earlier attempts, whose outcomes are unknown, decided for it.
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    /// Where it stood in its line.
    pub(crate) place: usize,
    /// As many as a batch tries while the store is away.
    pub(crate) earlier: Vec<Earlier>,
}

impl Pending {
    /// Whether nothing may be left of what an earlier attempt wrote: a flight says only who changed
    /// it last.
    pub(crate) fn may_have_been_written_over(&self) -> bool {
        !self.earlier.is_empty() && matches!(self.ticket.command, Command::PutFlight(_))
    }
}

/// A command that was judged, and where its changes stand in the change set.
pub(crate) struct Decided {
    pub(crate) ticket: Ticket,
    pub(crate) place: usize,
    pub(crate) earlier: Vec<Earlier>,
    pub(crate) outcome: Result<Outcome, Error>,
    pub(crate) position: Option<usize>,
}

impl Decided {
    /// An earlier attempt of unknown outcome stays in question: its commit may only now arrive.
    pub(crate) fn again(self) -> Pending {
        Pending { ticket: self.ticket, place: self.place, earlier: self.earlier }
    }

    /// To be looked up before it is judged again: the outcome of this attempt is unknown.
    pub(crate) fn again_unless_committed(
        self,
        attempt: u32,
        changes: &ChangeSet,
        flights: &HashMap<FlightId, &Flight>,
    ) -> Pending {
        let Self { ticket, place, mut earlier, outcome, position } = self;
        if let (Ok(outcome), Some(position)) = (outcome, position) {
            let changes = changes.commands[position].clone();
            let flight = flights.get(&ticket.flight).copied().cloned();
            earlier.push(Earlier { outcome, changes, attempt, flight });
        }
        Pending { ticket, place, earlier }
    }

    /// Whether it was judged on a record that only the commit itself could confirm.
    fn leans_on_a_key(&self) -> bool {
        let has_key = match &self.ticket.command {
            Command::Hold(hold) => hold.idempotency.is_some(),
            Command::Cancel(cancel) => cancel.request.is_some(),
            Command::Settle(_)
            | Command::Expire(_)
            | Command::Release(_)
            | Command::PutFlight(_) => false,
        };
        has_key && self.position.is_none()
    }
}

/// Parts what stands from what must be decided again: commands that wrote nothing because a row
/// was stale, and all that were judged after them on the same flight.
pub(crate) fn sort_out(decided: Vec<Decided>, stale: &[usize]) -> (Vec<Decided>, Vec<Decided>) {
    if stale.is_empty() {
        return (decided, Vec::new());
    }
    let is_stale = |d: &Decided| d.position.is_some_and(|position| stale.contains(&position));
    let flights: HashSet<FlightId> =
        decided.iter().filter(|d| is_stale(d)).map(|d| d.ticket.flight).collect();
    decided.into_iter().partition(|d| !flights.contains(&d.ticket.flight) && !d.leans_on_a_key())
}

/// The flights as their last commands would leave them.
pub(crate) fn last_of_each_flight(changes: &ChangeSet) -> HashMap<FlightId, &Flight> {
    let flights = changes.commands.iter().filter_map(|command| command.flight.as_ref());
    flights.map(|change| (change.after.id, &change.after)).collect()
}

/// Answers what was overtaken on a flight with a row that another session keeps: asking again would keep
/// the batch's other flights waiting. Gives back the rest.
pub(crate) fn refuse_locked(overtaken: Vec<Decided>, locked: &[usize]) -> Vec<Decided> {
    if locked.is_empty() {
        return overtaken;
    }
    let is_locked = |d: &Decided| d.position.is_some_and(|position| locked.contains(&position));
    let flights: HashSet<FlightId> =
        overtaken.iter().filter(|d| is_locked(d)).map(|d| d.ticket.flight).collect();
    let (refused, rest): (Vec<_>, Vec<_>) =
        overtaken.into_iter().partition(|d| flights.contains(&d.ticket.flight));
    for Decided { ticket, .. } in refused {
        let flight = ticket.flight;
        let locked = StoreError::Locked(anyhow::anyhow!("flight {flight}, or a row of it"));
        ticket.answer(Err(locked.into()));
    }
    rest
}

/// Answers those that an earlier commit of unknown outcome did write; gives back the rest.
///
/// What an attempt changes of one flight is written whole or not at all, so one command that is
/// found stands for the others: their own rows may have been written again since.
pub(crate) fn answer_committed(pending: Vec<Pending>, state: &State) -> Vec<Pending> {
    if pending.iter().all(|p| p.earlier.is_empty()) {
        return pending;
    }
    let all = pending.iter().flat_map(|p| &p.earlier);
    let landed: HashSet<(u32, FlightId)> = all
        .filter(|earlier| earlier.shows_its_flight_was_written(state))
        .filter_map(|earlier| Some((earlier.attempt, earlier.flight.as_ref()?.id)))
        .collect();
    let mut rest = Vec::with_capacity(pending.len());
    for mut p in pending {
        let is_written = |earlier: &Earlier| {
            let flight = earlier.changes.flight.as_ref().map(|change| change.after.id);
            flight.is_some_and(|flight| landed.contains(&(earlier.attempt, flight)))
                || stands(&earlier.changes, state)
        };
        match p.earlier.iter().position(is_written) {
            Some(position) => {
                let earlier = p.earlier.swap_remove(position);
                p.ticket.answer(Ok(earlier.answer(state)));
            }
            None => rest.push(p),
        }
    }
    rest
}

impl Earlier {
    /// Whether the rows show that this attempt, and no other, wrote what it changes of its flight.
    fn shows_its_flight_was_written(&self, state: &State) -> bool {
        let (Some(last), true) = (&self.flight, self.changes.flight.is_some()) else {
            return false;
        };
        let Some(flight) = state.flights.get(&last.id) else { return false };
        if flight == last {
            return true;
        }
        let is_its_own = |after: &Booking| {
            let booking = state.bookings.get(&after.id);
            booking.is_some_and(|booking| booking.created_at == after.created_at)
        };
        flight.version >= last.version
            && self.changes.booking.as_ref().is_some_and(|change| is_its_own(&change.after))
            && stands(&self.changes, state)
    }

    /// The answer: a new booking as it was written, which another attempt may have done.
    fn answer(self, state: &State) -> Outcome {
        match self.outcome {
            Outcome::Booking { booking, replayed: false } => {
                let booking = match state.bookings.get(&booking.id) {
                    Some(written) => Booking { passengers: booking.passengers, ..written.clone() },
                    None => booking,
                };
                Outcome::Booking { booking, replayed: false }
            }
            outcome => outcome,
        }
    }
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
    if let (None, Some(record)) = (&changes.flight, &changes.request) {
        return state.requests.get(&record.request.name()) == Some(record);
    }
    let flight = changes.flight.as_ref();
    flight.is_some_and(|change| state.flights.get(&change.after.id) == Some(&change.after))
}

/// The rows that these commands need at that moment.
pub(crate) fn wanted(pending: &[Pending], now: Timestamp) -> Wanted {
    let mut wanted = Wanted::default();
    for p in pending {
        wanted.flights.insert(p.ticket.flight);
        match &p.ticket.command {
            Command::Hold(hold) => {
                if !p.earlier.is_empty() {
                    wanted.payments.insert(hold.reference);
                }
                if hold.pending_max.is_some() {
                    wanted.pending.insert((hold.flight_id, hold.user_id), now);
                }
                let key = hold.idempotency.as_ref().map(|i| (hold.user_id, i.key.clone()));
                wanted.idempotency.extend(key);
            }
            Command::Settle(settle) => _ = wanted.payments.insert(settle.reference),
            Command::Expire(reference) => _ = wanted.payments.insert(*reference),
            Command::Cancel(cancel) => {
                wanted.bookings.insert(cancel.booking_id);
                wanted.requests.extend(cancel.request.as_ref().map(RequestKey::name));
            }
            Command::Release(booking) => _ = wanted.bookings.insert(*booking),
            Command::PutFlight(_) => {}
        }
    }
    wanted
}
