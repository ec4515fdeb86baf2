//! Commits whose outcome is unknown, because the store did not answer or the call panicked: before a
//! command is decided again, its rows show whether an earlier commit has written it.

use crate::domain::{Booking, Flight, FlightId};
use crate::engine::Error;
use crate::engine::job::{Job, Judged};
use crate::rules::{ChangeSet, Changes, Outcome, State};
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};

/// A command's part of a commit whose outcome is unknown.
pub(in crate::engine) struct UnknownCommit {
    outcome: Outcome,
    changes: Changes,
    /// Number of the commit within its batch.
    commit: u32,
    /// The flight as the last command of the commit would leave it.
    flight: Option<Flight>,
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
    let flights = last_of_each_flight(changes);
    judged.into_iter().map(move |Judged { mut job, verdict }| {
        if let (Ok(outcome), Some(id)) = (verdict.outcome, verdict.changes)
            && !planted!(unknown_commit_is_forgotten)
        {
            let changes = changes[id].clone();
            let flight = flights.get(&job.flight).copied().cloned();
            job.unknown.push(UnknownCommit { outcome, changes, commit, flight });
        }
        job
    })
}

/// Each flight as its last command would leave it.
fn last_of_each_flight(changes: &ChangeSet) -> HashMap<FlightId, &Flight> {
    changes.flights().map(|change| (change.after.id, &change.after)).collect()
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
        .filter(|earlier| earlier.has_written_its_flight(state))
        .filter_map(|earlier| Some((earlier.commit, earlier.flight.as_ref()?.id)))
        .collect();
    let (mut written, mut rest) = (Vec::new(), Vec::with_capacity(jobs.len()));
    for mut job in jobs {
        let is_written = |earlier: &UnknownCommit| match (&earlier.changes, &earlier.flight) {
            (Changes { booking: None, flight: Some(_), .. }, Some(flight)) => {
                commits.contains(&(earlier.commit, flight.id))
            }
            (changes, _) => is_applied(changes, state),
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
    /// Whether the flight is as this commit leaves it, or a new booking of it is stored. `created_at`
    /// tells it from another attempt's commit of the same booking.
    fn has_written_its_flight(&self, state: &State) -> bool {
        let Some(last) = &self.flight else { return false };
        let is_stored = |new: &Booking| {
            let stored = state.bookings.get(&new.id);
            stored.is_some_and(|stored| stored.created_at == new.created_at)
        };
        state.flights.get(&last.id) == Some(last)
            || self.changes.booking.as_ref().is_some_and(|change| {
                change.was.is_none() && is_applied(&self.changes, state) && is_stored(&change.after)
            })
    }

    /// The answer, and what was written. A new booking is shown as stored, since another attempt may have
    /// written it.
    fn into_answer(self, state: &State) -> (Outcome, Changes) {
        let outcome = match self.outcome {
            Outcome::Booking { booking, replayed: false } => {
                let booking = match state.bookings.get(&booking.id) {
                    Some(stored) => Booking { passengers: booking.passengers, ..stored.clone() },
                    None => booking,
                };
                Outcome::Booking { booking, replayed: false }
            }
            outcome => outcome,
        };
        (outcome, self.changes)
    }
}

/// Whether the command's own rows are as these changes leave them; for a new booking, whether it is stored.
fn is_applied(changes: &Changes, state: &State) -> bool {
    if let Some(change) = &changes.booking {
        let after = &change.after;
        return state.bookings.get(&after.id).is_some_and(|booking| match change.was {
            // The id and the reference are this booking's alone; it may have been paid for since.
            None => booking.payment_reference == after.payment_reference,
            Some(_) => booking.status == after.status && booking.updated_at == after.updated_at,
        });
    }
    if let Some(change) = &changes.payment {
        return state.payments.get(&change.after.reference) == Some(&change.after);
    }
    changes
        .request
        .as_ref()
        .is_some_and(|record| state.requests.get(&record.request.name()) == Some(record))
}
