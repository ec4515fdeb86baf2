//! New ids for holds and changes whose booking id or payment reference another booking has. Ids are drawn from a
//! sequence, which may be behind the table after a restore, or on a server that took over without its last
//! commits.

use crate::domain::{Booking, BookingId};
use crate::engine::EngineParts;
use crate::engine::Error;
use crate::engine::job::Job;
use crate::rules::{ChangeFlight, Command, HeldSegment, Hold, RowName, State};
use crate::store::StoreError;

/// Maximum new ids for one hold; each is above all stored ids.
const NEW_IDS_MAX: u32 = 4;

/// Gives new ids to commands whose id is taken, and answers those that have used up their tries.
pub(super) async fn renumber(parts: &EngineParts, jobs: Vec<Job>, state: &State) -> Vec<Job> {
    if jobs.iter().all(|job| job.id_conflicts.stored == 0 && !job.id_conflicts.in_batch) {
        return jobs;
    }
    let mut rest = Vec::with_capacity(jobs.len());
    for mut job in jobs {
        match renumber_if_taken(parts, &mut job, state).await {
            Ok(()) => rest.push(job),
            Err(error) => job.answer(Err(error)),
        }
    }
    rest
}

async fn renumber_if_taken(parts: &EngineParts, job: &mut Job, state: &State) -> Result<(), Error> {
    let is_first_attempt = !job.may_be_written();
    let conflicts = &mut job.id_conflicts;
    let is_taken = conflicts.in_batch
        || conflicts.stored > 0
            && match &job.command {
                Command::Hold(hold) => is_stored(hold, is_first_attempt, state),
                Command::ChangeFlight(change) => is_taken_of(change, state),
                _ => false,
            };
    if !is_taken {
        return Ok(());
    }
    if conflicts.stored > NEW_IDS_MAX {
        let taken = anyhow::anyhow!("the id of a new booking is taken, as were others before");
        return Err(StoreError::Unavailable(taken).into());
    }
    conflicts.in_batch = false;
    let reference = parts.ids.payment_reference(parts.clock.now());
    match &mut job.command {
        Command::Hold(hold) => {
            for segment in &mut hold.segments {
                segment.booking_id =
                    parts.store.draw_booking_id_instead_of(segment.booking_id).await?;
            }
            hold.reference = reference;
        }
        Command::ChangeFlight(change) => {
            let taken = change.replacement_id;
            change.replacement_id = parts.store.draw_booking_id_instead_of(taken).await?;
            change.reference = reference;
        }
        _ => {}
    }
    Ok(())
}

/// Whether another booking has the id or the reference that a change would use.
fn is_taken_of(change: &ChangeFlight, state: &State) -> bool {
    let id = change.replacement_id;
    let is_other = |it: &Booking| it.payment_reference != change.reference;
    state.bookings.get(&id).is_some_and(is_other)
        || state.paid_by.get(&change.reference).is_some_and(|paid| !paid.contains(&id))
        || state.unreadable.contains_key(&RowName::Booking(id))
}

/// Whether another stored booking has the hold's id or payment reference. An unreadable booking counts as
/// another one, unless an earlier attempt of unknown outcome may have written it.
fn is_stored(hold: &Hold, is_first_attempt: bool, state: &State) -> bool {
    let is_ours = |id: &BookingId| hold.segments.iter().any(|segment| segment.booking_id == *id);
    let is_unreadable =
        |s: &HeldSegment| state.unreadable.contains_key(&RowName::Booking(s.booking_id));
    is_id_taken(hold, state)
        || state.paid_by.get(&hold.reference).is_some_and(|paid| !paid.iter().all(is_ours))
        || is_first_attempt && hold.segments.iter().any(is_unreadable)
}

/// Whether an earlier hold of the batch, or a loaded booking, has the id of the booking that the command makes: the
/// commit would take the two for one booking.
pub(super) fn is_taken_in_batch(command: &Command, state: &State) -> bool {
    match command {
        Command::Hold(hold) => is_id_taken(hold, state),
        Command::ChangeFlight(change) => is_taken_of(change, state),
        _ => false,
    }
}

fn is_id_taken(hold: &Hold, state: &State) -> bool {
    hold.segments.iter().any(|segment| {
        let booking = state.bookings.get(&segment.booking_id);
        booking.is_some_and(|booking| booking.payment_reference != hold.reference)
    })
}
