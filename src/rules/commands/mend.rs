//! Mending: a passenger's contact data are corrected, free of charge, until departure.

use super::Decision;
use super::ending::Ending;
use crate::domain::{BookingId, PassengerChange, PassengerPatch, Timestamp};
use crate::rules::{Refusal, RequestKey, RequestRecord, State};

/// Corrects a passenger's contact data.
#[derive(Debug, Clone)]
pub struct Mend {
    /// The booking.
    pub booking_id: BookingId,
    /// The passenger's place in it, from 0.
    pub place: u16,
    /// The fields to correct.
    pub patch: PassengerPatch,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Changes the booking's version, on which every other change of it is decided, and its flight's, which orders the
/// events. The store replaces the fields, since decisions see no passengers.
pub(super) fn decide(state: &State, mend: &Mend, now: Timestamp) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, mend.booking_id, now)?;
    let record = RequestRecord::of(mend.request.as_ref(), mend.booking_id.0, state, now)?;
    if mend.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    let booking = end.booking(mend.booking_id)?;
    if usize::from(mend.place) >= booking.party_size() {
        return Err(Refusal::PassengerNotFound(booking.id, mend.place));
    }
    let travels = booking.is_yet_to_fly(end.flight(booking)?.departs_at, now);
    if !travels || booking.erased || booking.cancelled.contains(&mend.place) {
        return Err(Refusal::PassengerNotChangeable(booking.id));
    }
    let mut draft = end.draft();
    let after = end.booking_as(booking, booking.status, booking.failure_reason);
    let (booking_id, version) = (after.id, after.version);
    if planted!(mend_ignores_the_version) {
        draft.change_booking(booking, after);
    } else {
        draft.add(booking, after, 0, 0)?;
    }
    let (place, patch) = (mend.place, mend.patch.clone());
    draft.change_passenger(PassengerChange { booking_id, version, place, patch, at: now });
    draft.record(record);
    Ok(draft.decision())
}
