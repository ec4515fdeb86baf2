//! Turning an offer down.

use crate::domain::{BookingStatus, Timestamp, WaitlistId};
use crate::rules::commands::Decision;
use crate::rules::commands::ending::Ending;
use crate::rules::{Changes, Refusal, RequestKey, RequestRecord, State};

/// Turns an open offer down.
#[derive(Debug, Clone)]
pub struct Decline {
    /// The entry.
    pub id: WaitlistId,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Cancels the offer's booking while it is not paid. Its end tells what became of the entry.
pub(in crate::rules::commands) fn decide(
    state: &State,
    decline: &Decline,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let none = |_| Refusal::NoOffer(decline.id);
    let end = Ending::of_booking(state, decline.id.booking(), now).map_err(none)?;
    let record = RequestRecord::of(decline.request.as_ref(), decline.id.0, state, now)?;
    if decline.request.is_some() && record.is_none() {
        return Ok(end.unchanged());
    }
    if end.status() != BookingStatus::Pending {
        return Err(Refusal::NoOffer(decline.id));
    }
    let decision = end.cancelled(end.unpaid())?;
    let changes = Changes { request: record, ..decision.changes };
    Ok(Decision { changes, ..decision })
}
