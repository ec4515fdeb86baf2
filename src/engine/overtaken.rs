//! Commands that a commit left out: which they are, why, and what becomes of them.

use super::ticket::Decided;
use crate::domain::FlightId;
use crate::store::{Committed, StoreError};
use crate::telemetry::Metrics;
use std::collections::HashSet;

/// Parts what stands from what must be decided again: commands that wrote nothing because a row
/// was stale, and all that were judged after them on the same flight.
pub(super) fn sort_out(decided: Vec<Decided>, stale: &[usize]) -> (Vec<Decided>, Vec<Decided>) {
    if stale.is_empty() {
        return (decided, Vec::new());
    }
    let is_stale = |d: &Decided| d.position.is_some_and(|position| stale.contains(&position));
    let flights: HashSet<FlightId> =
        decided.iter().filter(|d| is_stale(d)).map(|d| d.ticket.flight).collect();
    decided.into_iter().partition(|d| !flights.contains(&d.ticket.flight) && !d.leans_on_a_key())
}

/// Counts those that are decided again: for a limit that the commit found reached, or since another commit
/// was first. Gives the flights of the latter.
pub(super) fn count(
    metrics: &Metrics,
    overtaken: &[Decided],
    committed: &Committed,
) -> HashSet<FlightId> {
    let mut flights = flights_at(overtaken, &committed.stale);
    if flights.is_empty() {
        return flights;
    }
    let limited = flights_at(overtaken, &committed.limited);
    for others in [&committed.locked, &committed.taken] {
        for flight in flights_at(overtaken, others) {
            flights.remove(&flight);
        }
    }
    flights.retain(|flight| !limited.contains(flight));
    let on = |flights: &HashSet<FlightId>| {
        overtaken.iter().filter(|d| flights.contains(&d.ticket.flight)).count() as u64
    };
    metrics.limit_conflicts.inc_by(on(&limited));
    metrics.version_conflicts.inc_by(on(&flights));
    flights
}

/// Answers what was overtaken on a flight with a row that another session keeps: asking again would keep
/// the batch's other flights waiting. Gives back the rest, and the flights.
pub(super) fn refuse_locked(
    overtaken: Vec<Decided>,
    locked: &[usize],
) -> (Vec<Decided>, HashSet<FlightId>) {
    let flights = flights_at(&overtaken, locked);
    if flights.is_empty() {
        return (overtaken, flights);
    }
    let (refused, rest): (Vec<_>, Vec<_>) =
        overtaken.into_iter().partition(|d| flights.contains(&d.ticket.flight));
    for Decided { ticket, .. } in refused {
        let flight = ticket.flight;
        let locked = StoreError::Locked(anyhow::anyhow!("flight {flight}, or a row of it"));
        ticket.answer(Err(locked.into()));
    }
    (rest, flights)
}

/// The flights of the commands at these positions.
fn flights_at(decided: &[Decided], positions: &[usize]) -> HashSet<FlightId> {
    if positions.is_empty() {
        return HashSet::new();
    }
    let is_there = |d: &&Decided| d.position.is_some_and(|position| positions.contains(&position));
    decided.iter().filter(is_there).map(|d| d.ticket.flight).collect()
}
