//! Commands that a commit did not write because a row was stale: which they are, why, and what happens to
//! them.

use crate::domain::FlightId;
use crate::engine::job::Judged;
use crate::engine::queues::Group;
use crate::rules::ChangesId;
use crate::store::{Committed, StoreError};
use crate::telemetry::Metrics;
use std::collections::{BTreeSet, HashSet};
use tracing::{debug, warn};

/// Splits the commands into those that stand and those to decide again: commands that a stale row kept
/// from being written, and those that write nothing and were decided beside them on the same flights.
///
/// A command beside a stale one may be written nevertheless, if the two share no row.
pub(super) fn split_stale(
    judged: Vec<Judged>,
    stale: &BTreeSet<ChangesId>,
) -> (Vec<Judged>, Vec<Judged>) {
    if stale.is_empty() {
        return (judged, Vec::new());
    }
    let flights = flights_of(&judged, stale);
    judged.into_iter().partition(|j| match j.verdict.changes {
        Some(id) => !stale.contains(&id),
        None if planted!(refusal_stands_on_a_stale_row) => true,
        None => !j.is_on(&flights) && !j.relies_on_key(),
    })
}

/// Counts the stale commands by cause: a user's limit that the commit found exceeded, or another commit
/// that came first. Returns the flights of the latter.
pub(super) fn count_stale(
    metrics: &Metrics,
    judged: &[Judged],
    committed: &Committed,
) -> HashSet<FlightId> {
    let mut flights = flights_of(judged, &committed.stale);
    if flights.is_empty() {
        return flights;
    }
    let limited = flights_of(judged, &committed.limited);
    for others in [&committed.locked, &committed.taken] {
        for flight in flights_of(judged, others) {
            flights.remove(&flight);
        }
    }
    flights.retain(|flight| !limited.contains(flight));
    let count =
        |flights: &HashSet<FlightId>| judged.iter().filter(|j| j.is_on(flights)).count() as u64;
    metrics.limit_conflicts.inc_by(count(&limited));
    metrics.version_conflicts.inc_by(count(&flights));
    flights
}

/// Answers the commands of flights with a row that another database session has locked: a retry would
/// delay the batch's other flights. Returns the rest, and those flights.
pub(super) fn refuse_locked(
    judged: Vec<Judged>,
    locked: &BTreeSet<ChangesId>,
    group: Group,
) -> (Vec<Judged>, HashSet<FlightId>) {
    let flights = flights_of(&judged, locked);
    if flights.is_empty() {
        return (judged, flights);
    }
    let ids: Vec<_> = flights.iter().map(|flight| flight.0).collect();
    match group {
        Group::Shared => {
            warn!(flights = ?ids, "another session locks rows; commands that need them are refused");
        }
        Group::Isolated => debug!(flights = ?ids, "another session still locks rows"),
    }
    let (refused, rest): (Vec<_>, Vec<_>) = judged.into_iter().partition(|j| j.is_on(&flights));
    for Judged { job, .. } in refused {
        let flights: Vec<_> = job.flights.iter().map(FlightId::to_string).collect();
        let locked = StoreError::Locked(anyhow::anyhow!("a row of flight {}", flights.join(", ")));
        job.answer(Err(locked.into()));
    }
    (rest, flights)
}

/// The flights of the commands with these changes.
fn flights_of(judged: &[Judged], changes: &BTreeSet<ChangesId>) -> HashSet<FlightId> {
    if changes.is_empty() {
        return HashSet::new();
    }
    let is_named = |j: &&Judged| j.verdict.changes.is_some_and(|id| changes.contains(&id));
    judged.iter().filter(is_named).flat_map(|j| j.job.flights.iter().copied()).collect()
}
