//! Commits whose outcome is unknown, because the store did not answer or the call panicked: before a
//! command is decided again, its rows show whether an earlier commit has written it.

use crate::domain::{Booking, Flight, FlightId, Order, Payment, Refund, WaitlistId};
use crate::engine::Error;
use crate::engine::job::{Job, Judged};
use crate::rules::{Change, ChangeSet, Changes, Outcome, RequestRecord, State};
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A command's part of a commit whose outcome is unknown.
pub(in crate::engine) struct UnknownCommit {
    outcome: Outcome,
    changes: Changes,
    /// Number of the commit within its batch.
    commit: u32,
    /// Each flight as the last command of the commit would leave it.
    last: Arc<HashMap<FlightId, Flight>>,
}

/// A command that a commit of unknown outcome has written.
pub(super) struct Written {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    pub(super) changes: Changes,
}

/// The jobs of a commit whose outcome is unknown, each with what the commit would have written for it.
pub(super) fn remember(
    judged: Vec<Judged>,
    changes: &ChangeSet,
    commit: u32,
) -> impl Iterator<Item = Job> {
    let last = Arc::new(last_of_each_flight(changes));
    judged.into_iter().map(move |Judged { mut job, verdict }| {
        if let (Ok(outcome), Some(id)) = (verdict.outcome, verdict.changes)
            && !planted!(unknown_commit_is_forgotten)
        {
            let changes = changes[id].clone();
            job.unknown.push(UnknownCommit { outcome, changes, commit, last: last.clone() });
        }
        job
    })
}

/// Each flight as its last command would leave it.
fn last_of_each_flight(changes: &ChangeSet) -> HashMap<FlightId, Flight> {
    let last: HashMap<_, _> = changes.flights().map(|c| (c.after.id, &c.after)).collect();
    last.into_iter().map(|(id, flight)| (id, flight.clone())).collect()
}

/// Separates the commands that an earlier commit of unknown outcome has written from the rest.
///
/// A command is found by its own rows. The rest is decided again, which changes nothing that is already as
/// the command wants it. A change of a flight has no row of its own, and a later command overwrites it: it
/// is written if the flight is as its commit leaves it, or if a new booking of its commit on that flight is
/// stored.
pub(super) fn split_written(jobs: Vec<Job>, state: &State) -> (Vec<Written>, Vec<Job>) {
    if jobs.iter().all(|job| job.unknown.is_empty()) {
        return (Vec::new(), jobs);
    }
    let all = jobs.iter().flat_map(|job| &job.unknown);
    let commits: HashSet<(u32, FlightId)> = all
        .flat_map(|earlier| earlier.written_flights(state).map(|flight| (earlier.commit, flight)))
        .collect();
    let (mut written, mut rest) = (Vec::new(), Vec::with_capacity(jobs.len()));
    for mut job in jobs {
        let is_written = |earlier: &UnknownCommit| match &*earlier.changes.flights {
            [change]
                if earlier.changes.bookings.is_empty() && earlier.changes.entries.is_empty() =>
            {
                commits.contains(&(earlier.commit, change.after.id))
            }
            _ => is_applied(&earlier.changes, state),
        };
        match job.unknown.iter().position(is_written) {
            Some(index) => {
                let earlier = job.unknown.swap_remove(index);
                let (outcome, changes) = earlier.into_answer(state);
                written.push(Written { job, outcome, changes });
            }
            None => rest.push(job),
        }
    }
    (written, rest)
}

/// The error where an earlier commit may have written the command, or may still write it.
pub(in crate::engine) fn unknown_outcome() -> Error {
    StoreError::Unavailable(anyhow::anyhow!("an earlier attempt's outcome stays unknown")).into()
}

impl UnknownCommit {
    /// The flights that are as this commit leaves them; all of its command's, if a new booking is stored.
    /// `created_at` tells the booking from another attempt's of the same number.
    fn written_flights(&self, state: &State) -> impl Iterator<Item = FlightId> {
        let is_stored = self.changes.bookings.iter().any(|Change { was, after }| {
            let stored = state.bookings.get(&after.id);
            was.is_none()
                && stored.is_some_and(|stored| {
                    stored.payment_reference == after.payment_reference
                        && stored.created_at == after.created_at
                })
        });
        let flights = self.changes.flights.iter().map(|change| change.after.id);
        flights.filter(move |id| is_stored || state.flights.get(id) == self.last.get(id))
    }

    /// The entries of waiting lists that it would write.
    pub(super) fn entries(&self) -> impl Iterator<Item = WaitlistId> {
        self.changes.entries.iter().map(|change| change.after.id)
    }

    /// The answer, and what was written. A new booking is shown as stored, since another attempt may have
    /// written it.
    fn into_answer(self, state: &State) -> (Outcome, Changes) {
        let outcome = match self.outcome {
            Outcome::Order { order: Order { bookings, payment }, replayed: false } => {
                let as_stored = |booking: Booking| match state.bookings.get(&booking.id) {
                    Some(stored) => Booking { passengers: booking.passengers, ..stored.clone() },
                    None => booking,
                };
                let bookings = bookings.into_iter().map(as_stored).collect();
                let payment = state.payments.get(&payment.reference).cloned().unwrap_or(payment);
                Outcome::Order { order: Order { bookings, payment }, replayed: false }
            }
            outcome => outcome,
        };
        (outcome, self.changes)
    }
}

/// Whether the command's own rows are as these changes leave them; for new bookings, whether they are stored.
fn is_applied(changes: &Changes, state: &State) -> bool {
    // Another caller may have corrected the booking at the same instant, and the values are not loaded: only the key
    // tells. Without one the correction is made again, which leaves the same values.
    if !changes.passengers.is_empty() {
        return changes.request.as_ref().is_some_and(|record| is_record(record, state));
    }
    if !changes.bookings.is_empty() {
        return changes.bookings.iter().all(|Change { was, after }| {
            state.bookings.get(&after.id).is_some_and(|booking| match was {
                // The id and the reference are this booking's alone; it may have been paid for since.
                None => booking.payment_reference == after.payment_reference,
                Some(_) => {
                    (booking.status, booking.version) == (after.status, after.version)
                        && booking.updated_at == after.updated_at
                }
            })
        });
    }
    if !changes.entries.is_empty() {
        return changes.entries.iter().all(|Change { was, after }| {
            state.entries.get(&after.id).is_some_and(|entry| match was {
                // The id and the reference are this entry's alone; it may have changed since.
                None => entry.payment_reference == after.payment_reference,
                Some(_) => (entry.version, entry.updated_at) == (after.version, after.updated_at),
            })
        });
    }
    if !changes.payments.is_empty() {
        // Another caller may have begun the same attempt at the same instant: by its method, or without our key.
        let is_stored = |after: &Payment| {
            state.payments.get(&after.reference).is_some_and(|payment| {
                (payment.status, payment.version, payment.updated_at)
                    == (after.status, after.version, after.updated_at)
                    && payment.method == after.method
                    && payment.return_url() == after.return_url()
            })
        };
        let is_recorded = changes.request.as_ref().is_none_or(|record| is_record(record, state));
        return is_recorded && changes.payments.iter().all(|change| is_stored(&change.after));
    }
    if !changes.refunds.is_empty() {
        let is_stored = |after: &Refund| state.refunds.get(&after.id) == Some(after);
        return changes.refunds.iter().all(|change| is_stored(&change.after));
    }
    changes.request.as_ref().is_some_and(|record| is_record(record, state))
}

/// Whether the record of a caller's key is stored.
fn is_record(record: &RequestRecord, state: &State) -> bool {
    state.requests.get(&record.request.name()) == Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Money, PaymentKind, PaymentMethod, PaymentReference, PaymentStatus, Timestamp, WaitsFor,
    };
    use crate::rules::{IdempotencyKey, RequestKey};

    fn begun(method: &str) -> Payment {
        Payment {
            reference: PaymentReference::from_bits(1),
            order: PaymentReference::from_bits(1),
            attempt: 1,
            kind: PaymentKind::Later,
            amount: Money::from_minor(100),
            currency: "INR".parse().expect("a currency"),
            method: PaymentMethod::new(method).expect("a method"),
            status: PaymentStatus::Requested,
            waits_for: WaitsFor::Gateway,
            dispute: None,
            notes: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            traceparent: None,
            version: 2,
        }
    }

    fn changes(method: &str, key: Option<&str>) -> Changes {
        let payments = [Change { was: None, after: begun(method) }].into_iter().collect();
        let request = key.map(|key| RequestRecord {
            request: RequestKey {
                route: "/pay",
                owner: crate::domain::UserId(7),
                key: IdempotencyKey { key: key.into(), request_hash: "hash".into() },
            },
            made: 1,
            created_at: Timestamp::UNIX_EPOCH,
        });
        Changes { payments, request, ..Changes::default() }
    }

    /// Two callers may begin the same attempt at the same instant, on two replicas.
    #[test]
    fn an_attempt_that_another_caller_began_is_not_ours() {
        let mut state = State::default();
        state.apply(&changes("pm_card_visa", Some("ours")));
        assert!(is_applied(&changes("pm_card_visa", Some("ours")), &state));
        assert!(is_applied(&changes("pm_card_visa", None), &state), "it asks for the same");
        assert!(!is_applied(&changes("pm_card_other", None), &state));
        assert!(!is_applied(&changes("pm_card_visa", Some("another")), &state));
    }
}
