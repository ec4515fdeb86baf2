//! The rows that commands need: which to load, and the commands whose rows can't be read.

use crate::domain::{BookingId, Timestamp};
use crate::engine::Error;
use crate::engine::batch::UnknownCommit;
use crate::engine::job::Job;
use crate::rules::{Command, Damage, HeldSegment, RequestKey, RowName, Settle, State, Wanted};
use crate::store::StoreError;

/// The rows that these commands need at `now`.
pub(super) fn needed_rows(jobs: &[Job], now: Timestamp) -> Wanted {
    let mut wanted = Wanted::default();
    for job in jobs {
        wanted.flights.extend(&job.flights);
        let written = job.unknown.iter().flat_map(UnknownCommit::entries);
        wanted.entries.extend(written);
        match &job.command {
            Command::Hold(hold) => {
                let has_conflict = job.id_conflicts.stored > 0;
                if has_conflict || job.may_be_written() {
                    wanted.payments.insert(hold.reference);
                }
                if has_conflict {
                    wanted.bookings.extend(hold.segments.iter().map(|s| s.booking_id));
                }
                if hold.pending_max.is_some() {
                    let holder = |s: &HeldSegment| ((s.flight_id, hold.user_id), now);
                    wanted.pending.extend(hold.segments.iter().map(holder));
                }
                let key = hold.idempotency.as_ref().map(|i| (hold.user_id, i.key.clone()));
                wanted.idempotency.extend(key);
                wanted.requests.extend(hold.request.as_ref().map(RequestKey::name));
            }
            Command::Settle(settle) => {
                wanted.payments.insert(settle.reference);
                wanted.refunds.extend(settle.refund_id);
            }
            Command::Expire(reference) => _ = wanted.payments.insert(*reference),
            Command::Pay(pay) => of_order(&mut wanted, pay.booking_id, pay.request.as_ref()),
            Command::Extend(extend) => {
                of_order(&mut wanted, extend.booking_id, extend.request.as_ref());
            }
            Command::Mend(mend) => of_order(&mut wanted, mend.booking_id, mend.request.as_ref()),
            Command::Cancel(cancel) => {
                wanted.fares = true;
                of_order(&mut wanted, cancel.booking_id, cancel.request.as_ref());
            }
            Command::ChangeFlight(change) => {
                if job.id_conflicts.stored > 0 {
                    wanted.bookings.insert(change.replacement_id);
                    wanted.payments.insert(change.reference);
                }
                if change.pending_max.is_some() {
                    wanted.pending.insert((change.flight_id, change.user_id), now);
                }
                of_order(&mut wanted, change.booking_id, change.request.as_ref());
            }
            Command::Release(booking) => _ = wanted.bookings.insert(*booking),
            Command::Dispute(dispute) => {
                wanted.payments.insert(dispute.reference);
                wanted.refunds_of.insert(dispute.reference);
            }
            Command::RetryRefund(retry) => {
                wanted.payments.insert(retry.payment);
                wanted.refunds.insert(retry.id);
                wanted.requests.extend(retry.request.as_ref().map(RequestKey::name));
            }
            Command::Join(join) => {
                wanted.entrants.insert((join.flight_id, join.user_id));
                wanted.requests.extend(join.request.as_ref().map(RequestKey::name));
            }
            Command::Decline(decline) => {
                of_order(&mut wanted, decline.id.booking(), decline.request.as_ref());
            }
            Command::Leave(leave) => _ = wanted.entries.insert(leave.id),
            Command::Promote(flight) => _ = wanted.lines.insert(*flight),
            Command::PutFlight(_) => {}
        }
    }
    wanted
}

/// Adds the rows of a booking's order, and the record of the caller's key.
fn of_order(wanted: &mut Wanted, booking: BookingId, request: Option<&RequestKey>) {
    wanted.bookings.insert(booking);
    wanted.requests.extend(request.map(RequestKey::name));
}

/// Answers the commands that need an unreadable row, and returns the rest.
pub(super) fn refuse_unreadable(jobs: Vec<Job>, state: &State) -> Vec<Job> {
    if state.unreadable.is_empty() {
        return jobs;
    }
    let mut rest = Vec::with_capacity(jobs.len());
    for job in jobs {
        match error_of(&job, state) {
            Some(error) => job.answer(Err(error)),
            None => rest.push(job),
        }
    }
    rest
}

fn error_of(job: &Job, state: &State) -> Option<Error> {
    let Damage { table, column, row } = damage(job, state)?;
    Some(StoreError::Corrupt { table, column, row: row.clone() }.into())
}

/// The damage of a row that the command needs.
fn damage<'s>(job: &Job, state: &'s State) -> Option<&'s Damage> {
    let of = |name: RowName| state.unreadable.get(&name);
    let of_booking = |id: BookingId| {
        let paid_by = || Some(state.bookings.get(&id)?.payment_reference);
        of(RowName::Booking(id)).or_else(|| of(RowName::Payment(paid_by()?)))
    };
    let of_request = |id: BookingId, request: Option<&RequestKey>| {
        of_booking(id).or_else(|| of(RowName::Request(request?.name())))
    };
    let of_flights = job.flights.iter().find_map(|flight| of(RowName::Flight(*flight)));
    of_flights.or_else(|| match &job.command {
        Command::Hold(hold) => {
            if let Some(request) = &hold.request {
                let made = || Some(BookingId(state.requests.get(&request.name())?.made));
                return of(RowName::Request(request.name())).or_else(|| of_booking(made()?));
            }
            let name = (hold.user_id, hold.idempotency.as_ref()?.key.clone());
            let made = || Some(state.idempotency.get(&name)?.booking_id);
            of(RowName::Key(name.0, name.1.clone())).or_else(|| of_booking(made()?))
        }
        Command::Settle(Settle { reference, refund_id, .. }) => {
            of(RowName::Payment(*reference)).or_else(|| of(RowName::Refund((*refund_id)?)))
        }
        Command::Expire(reference) => of(RowName::Payment(*reference)),
        Command::Pay(pay) => of_request(pay.booking_id, pay.request.as_ref()),
        Command::Extend(extend) => of_request(extend.booking_id, extend.request.as_ref()),
        Command::Mend(mend) => of_request(mend.booking_id, mend.request.as_ref()),
        Command::Cancel(cancel) => of_request(cancel.booking_id, cancel.request.as_ref()),
        Command::ChangeFlight(change) => of_request(change.booking_id, change.request.as_ref()),
        Command::Release(booking) => of_booking(*booking),
        Command::Dispute(dispute) => of(RowName::Payment(dispute.reference)),
        Command::RetryRefund(retry) => {
            let request = || of(RowName::Request(retry.request.as_ref()?.name()));
            let of_row =
                of(RowName::Payment(retry.payment)).or_else(|| of(RowName::Refund(retry.id)));
            of_row.or_else(request)
        }
        Command::Join(join) => {
            let request = || of(RowName::Request(join.request.as_ref()?.name()));
            of(RowName::Line(join.flight_id)).or_else(request)
        }
        Command::Decline(decline) => of_request(decline.id.booking(), decline.request.as_ref()),
        Command::Leave(leave) => of(RowName::Entry(leave.id)),
        Command::Promote(flight) => of(RowName::Line(*flight)),
        Command::PutFlight(_) => None,
    })
}
