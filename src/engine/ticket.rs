//! A command on its way through its batch: waiting to be judged, judged, answered, or sent back to be
//! judged again, with what an attempt of unknown outcome decided for it.

use super::error::Error;
use crate::domain::{Booking, BookingId, Flight, FlightId, Timestamp};
use crate::rules::{
    ChangeSet, Changes, Command, Damage, Outcome, RequestKey, RowName, Settle, State, Wanted,
};
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
    /// What is known of a hold's number.
    pub(crate) number: Number,
}

/// What is known of a hold's number: how often it was another booking's, and whether it is now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Number {
    pub(crate) times_taken: u32,
    /// Another hold of the batch has it as well.
    pub(crate) is_taken: bool,
}

impl Pending {
    pub(crate) fn new(ticket: Ticket, place: usize) -> Self {
        Self { ticket, place, earlier: Vec::new(), number: Number::default() }
    }

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
    pub(crate) number: Number,
    pub(crate) outcome: Result<Outcome, Error>,
    pub(crate) position: Option<usize>,
}

impl Decided {
    /// An earlier attempt of unknown outcome stays in question: its commit may only now arrive.
    pub(crate) fn again(self) -> Pending {
        let Self { ticket, place, earlier, number, .. } = self;
        Pending { ticket, place, earlier, number }
    }

    /// To be judged again, as a row of it had moved; `taken` are the positions of holds whose number
    /// another booking has.
    pub(crate) fn overtaken(self, taken: &[usize]) -> Pending {
        let is_taken = self.position.is_some_and(|position| taken.contains(&position));
        let mut again = self.again();
        again.number.times_taken += u32::from(is_taken);
        again
    }

    /// To be looked up before it is judged again: the outcome of this attempt is unknown.
    pub(crate) fn again_unless_committed(
        self,
        attempt: u32,
        changes: &ChangeSet,
        flights: &HashMap<FlightId, &Flight>,
    ) -> Pending {
        let Self { ticket, place, mut earlier, number, outcome, position } = self;
        if let (Ok(outcome), Some(position)) = (outcome, position) {
            let changes = changes.commands[position].clone();
            let flight = flights.get(&ticket.flight).copied().cloned();
            earlier.push(Earlier { outcome, changes, attempt, flight });
        }
        Pending { ticket, place, earlier, number }
    }

    /// Whether it was judged on a record that only the commit itself could confirm.
    pub(crate) fn leans_on_a_key(&self) -> bool {
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

/// The flights as their last commands would leave them.
pub(crate) fn last_of_each_flight(changes: &ChangeSet) -> HashMap<FlightId, &Flight> {
    let flights = changes.commands.iter().filter_map(|command| command.flight.as_ref());
    flights.map(|change| (change.after.id, &change.after)).collect()
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

/// Answers those that need a row which can't be read; gives back the rest.
pub(crate) fn refuse_unreadable(pending: Vec<Pending>, state: &State) -> Vec<Pending> {
    if state.unreadable.is_empty() {
        return pending;
    }
    let mut rest = Vec::with_capacity(pending.len());
    for p in pending {
        match damage(&p.ticket, state) {
            None => rest.push(p),
            // What an earlier attempt came to stays unknown.
            Some(_) if !p.earlier.is_empty() => p.ticket.answer(Err(in_doubt())),
            Some(Damage { table, column, row }) => {
                let row = row.clone();
                p.ticket.answer(Err(StoreError::Corrupt { table, column, row }.into()));
            }
        }
    }
    rest
}

/// What is wrong with a row that the command needs.
fn damage<'s>(ticket: &Ticket, state: &'s State) -> Option<&'s Damage> {
    let of = |name: RowName| state.unreadable.get(&name);
    let of_booking = |id: BookingId| {
        let paid_by = || Some(state.bookings.get(&id)?.payment_reference);
        of(RowName::Booking(id)).or_else(|| of(RowName::Payment(paid_by()?)))
    };
    of(RowName::Flight(ticket.flight)).or_else(|| match &ticket.command {
        Command::Hold(hold) => {
            let name = (hold.user_id, hold.idempotency.as_ref()?.key.clone());
            let made = || Some(state.idempotency.get(&name)?.booking_id);
            of(RowName::Key(name.0, name.1.clone())).or_else(|| of(RowName::Booking(made()?)))
        }
        Command::Settle(Settle { reference, .. }) | Command::Expire(reference) => {
            of(RowName::Payment(*reference))
        }
        Command::Cancel(cancel) => of_booking(cancel.booking_id)
            .or_else(|| of(RowName::Request(cancel.request.as_ref()?.name()))),
        Command::Release(booking) => of_booking(*booking),
        Command::PutFlight(_) => None,
    })
}

/// Another change came after one of unknown outcome, so that nothing tells whether it was made.
pub(crate) fn in_doubt() -> Error {
    StoreError::Unavailable(anyhow::anyhow!("an earlier attempt's outcome stays unknown")).into()
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
                if !p.earlier.is_empty() || p.number.times_taken > 0 {
                    wanted.payments.insert(hold.reference);
                }
                if p.number.times_taken > 0 {
                    wanted.bookings.insert(hold.booking_id);
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
