//! Holds whose number another booking has: they get others. Numbers are drawn from a sequence, which may
//! be behind the table after a restore, or on a server that took over without its last commits.

use super::error::Error;
use super::parts::EngineParts;
use super::ticket::Pending;
use crate::domain::PaymentReference;
use crate::rules::{Command, Hold, RowName, State};
use crate::store::StoreError;

/// How often a hold gets a new number, each above all that are stored.
const NUMBERS_MAX: u32 = 4;

/// Gives new numbers to holds whose number another booking has; answers those that get none.
pub(super) async fn renumber(
    parts: &EngineParts,
    pending: Vec<Pending>,
    state: &State,
) -> Vec<Pending> {
    if pending.iter().all(|p| p.number.times_taken == 0 && !p.number.is_taken) {
        return pending;
    }
    let mut rest = Vec::with_capacity(pending.len());
    for mut p in pending {
        match draw_if_taken(parts, &mut p, state).await {
            Ok(()) => rest.push(p),
            Err(error) => p.ticket.answer(Err(error)),
        }
    }
    rest
}

async fn draw_if_taken(parts: &EngineParts, p: &mut Pending, state: &State) -> Result<(), Error> {
    let Command::Hold(hold) = &mut p.ticket.command else { return Ok(()) };
    let is_stored = p.number.times_taken > 0 && is_stored(hold, p.earlier.is_empty(), state);
    if !is_stored && !p.number.is_taken {
        return Ok(());
    }
    if p.number.times_taken > NUMBERS_MAX {
        let taken = anyhow::anyhow!("booking {} is taken, as were others before", hold.booking_id);
        return Err(StoreError::Unavailable(taken).into());
    }
    p.number.is_taken = false;
    hold.booking_id = parts.store.draw_booking_id_instead_of(hold.booking_id).await?;
    hold.reference = PaymentReference::draw(parts.clock.now());
    Ok(())
}

/// Whether another stored booking has the hold's number or payment. One that can't be read is another's,
/// unless an attempt of unknown outcome may have written it.
fn is_stored(hold: &Hold, is_new: bool, state: &State) -> bool {
    let by_payment = state.paid_by.get(&hold.reference);
    has_its_number(hold, state)
        || by_payment.is_some_and(|booking| *booking != hold.booking_id)
        || is_new && state.unreadable.contains_key(&RowName::Booking(hold.booking_id))
}

/// Whether a command is a hold whose number one before it in its batch has, or a booking that the batch
/// knows: to the commit they would be one.
pub(super) fn is_taken_beside(command: &Command, state: &State) -> bool {
    matches!(command, Command::Hold(hold) if has_its_number(hold, state))
}

fn has_its_number(hold: &Hold, state: &State) -> bool {
    let booking = state.bookings.get(&hold.booking_id);
    booking.is_some_and(|booking| booking.payment_reference != hold.reference)
}
