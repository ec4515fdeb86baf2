//! Recomputes route keys that an earlier release made by another rule.
//!
//! Runs before the service starts, in steps of a transaction each: an interrupted start resumes where it
//! stopped.

use crate::domain::route_key;

/// The number of [`route_key`]'s rule. A changed rule takes the next number.
pub(in crate::store) const RULE: i32 = 1;

/// Flights per step.
pub(in crate::store) const STEP: i64 = 2_000;

/// The progress when all flights are done.
pub(in crate::store) const ALL: i64 = i64::MAX;

/// The last flight whose key follows the present rule.
pub(in crate::store) const DONE_TO: &str = "SELECT done_to FROM route_keys WHERE rule = $1";

/// Stores the progress.
pub(in crate::store) const NOTE: &str = "
INSERT INTO route_keys (rule, done_to) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET rule = excluded.rule, done_to = excluded.done_to";

/// A flight in a step: number, source, destination, key.
pub(in crate::store) type Keyed = (i64, String, String, String);

/// The progress after a step that read these flights.
pub(in crate::store) fn reached(flights: &[Keyed]) -> i64 {
    let is_last = (flights.len() as i64) < STEP;
    flights.last().filter(|_| !is_last).map_or(ALL, |(id, ..)| *id)
}

/// The flights whose keys differ from the rule's: number, present key, new key.
pub(in crate::store) fn changed(flights: &[Keyed]) -> Vec<(i64, &str, String)> {
    let mut changed = Vec::new();
    for (id, source, destination, key) in flights {
        let new = route_key(source, destination);
        if new != *key {
            changed.push((*id, key.as_str(), new));
        }
    }
    changed
}
