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
        wanted.requests.extend(job.command.request().map(RequestKey::name));
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
            }
            Command::Settle(settle) => {
                wanted.payments.insert(settle.reference);
                wanted.refunds.extend(settle.refund_id);
            }
            Command::Expire(reference) => _ = wanted.payments.insert(*reference),
            Command::Pay(pay) => _ = wanted.bookings.insert(pay.booking_id),
            Command::Extend(extend) => _ = wanted.bookings.insert(extend.booking_id),
            Command::Mend(mend) => _ = wanted.bookings.insert(mend.booking_id),
            Command::Cancel(cancel) => {
                wanted.fares = true;
                wanted.bookings.insert(cancel.booking_id);
            }
            Command::ChangeFlight(change) => {
                if job.id_conflicts.stored > 0 {
                    wanted.bookings.insert(change.replacement_id);
                    wanted.payments.insert(change.reference);
                }
                if change.pending_max.is_some() {
                    wanted.pending.insert((change.flight_id, change.user_id), now);
                }
                wanted.bookings.insert(change.booking_id);
            }
            Command::Release(booking) => _ = wanted.bookings.insert(*booking),
            Command::Dispute(dispute) => {
                wanted.payments.insert(dispute.reference);
                wanted.refunds_of.insert(dispute.reference);
            }
            Command::RetryRefund(retry) => {
                wanted.payments.insert(retry.payment);
                wanted.refunds.insert(retry.id);
            }
            Command::Join(join) => _ = wanted.entrants.insert((join.flight_id, join.user_id)),
            Command::Decline(decline) => _ = wanted.bookings.insert(decline.id.booking()),
            Command::Leave(leave) => _ = wanted.entries.insert(leave.id),
            Command::Promote(flight) => _ = wanted.lines.insert(*flight),
            Command::PutFlight(_) => {}
        }
    }
    wanted
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
    let of_flights = job.flights.iter().find_map(|flight| of(RowName::Flight(*flight)));
    let of_command = || match &job.command {
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
        Command::Pay(pay) => of_booking(pay.booking_id),
        Command::Extend(extend) => of_booking(extend.booking_id),
        Command::Mend(mend) => of_booking(mend.booking_id),
        Command::Cancel(cancel) => of_booking(cancel.booking_id),
        Command::ChangeFlight(change) => of_booking(change.booking_id),
        Command::Release(booking) => of_booking(*booking),
        Command::Dispute(dispute) => of(RowName::Payment(dispute.reference)),
        Command::RetryRefund(retry) => {
            of(RowName::Payment(retry.payment)).or_else(|| of(RowName::Refund(retry.id)))
        }
        Command::Join(join) => of(RowName::Line(join.flight_id)),
        Command::Decline(decline) => of_booking(decline.id.booking()),
        Command::Leave(leave) => of(RowName::Entry(leave.id)),
        Command::Promote(flight) => of(RowName::Line(*flight)),
        Command::PutFlight(_) => None,
    };
    let of_request = || of(RowName::Request(job.command.request()?.name()));
    of_flights.or_else(of_command).or_else(of_request)
}
