//! Fingerprints of a file's lines: a few bytes per line, so that even a long file can be checked for lines that
//! contradict each other.

use super::table::{BadLine, Line};
use crate::domain::{Flight, FlightId, Timestamp, route_key};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

/// The flights of the lines so far.
#[derive(Default)]
pub(super) struct Seen {
    hasher: RandomState,
    /// By number, route and departure: the line number, and a hash of the other fields.
    lines: HashMap<u64, (u32, u32)>,
    /// By id: the line number, and a hash of the other fields.
    ids: HashMap<FlightId, (u32, u32)>,
}

impl Seen {
    /// Refuses a line that contradicts an earlier line for the same flight.
    pub(super) fn agrees(&mut self, line: &Line) -> Result<(), BadLine> {
        let flight = &line.flight;
        let key = self.key(
            flight.flight_number.as_deref(),
            &route_key(&flight.source, &flight.destination),
            flight.departs_at,
        );
        let seats = (flight.total_seats, flight.available_seats);
        let amounts = (flight.price, flight.taxes, &flight.fare_rules);
        let rest = (seats, amounts, flight.arrives_at, flight.flight_status, line.id);
        let entry = (shortened(line.number), self.hasher.hash_one(rest) as u32);
        if let Some(id) = line.id {
            let whole = (entry.0, self.hasher.hash_one((key, rest)) as u32);
            let earlier = noted(self.ids.entry(id), whole);
            if let Some(earlier) = earlier {
                return Err(contradiction(line, earlier, "same id", "a different flight"));
            }
        }
        match noted(self.lines.entry(key), entry) {
            None => Ok(()),
            Some(earlier) => Err(contradiction(
                line,
                earlier,
                "same number, route and departure",
                "different seats, price, taxes, fare rules, status or arrival",
            )),
        }
    }

    /// Whether an earlier line is for the same flight.
    pub(super) fn is_repeat(&self, line: &Line) -> bool {
        let flight = &line.flight;
        let route = route_key(&flight.source, &flight.destination);
        let key = self.key(flight.flight_number.as_deref(), &route, flight.departs_at);
        self.lines.get(&key).is_some_and(|(first, _)| *first != shortened(line.number))
    }

    /// Whether a line identifies this stored flight exactly: by id, or by number, route and departure.
    pub(super) fn names(&self, flight: &Flight) -> bool {
        let route = route_key(&flight.source, &flight.destination);
        let key = self.key(flight.flight_number.as_deref(), &route, flight.departs_at);
        self.lines.contains_key(&key) || self.ids.contains_key(&flight.id)
    }

    fn key(&self, number: Option<&str>, route: &str, departs_at: Timestamp) -> u64 {
        self.hasher.hash_one((number, route, departs_at))
    }
}

/// Adds a line. Returns the number of an earlier line that it contradicts.
fn noted<K>(place: Entry<'_, K, (u32, u32)>, line: (u32, u32)) -> Option<u32> {
    let earlier = *place.or_insert(line);
    (earlier.1 != line.1).then_some(earlier.0)
}

fn contradiction(line: &Line, earlier: u32, same: &str, other: &str) -> BadLine {
    let fault = format!("contradicts line {earlier}: {same}, but {other}");
    BadLine { number: line.number, faults: vec![fault] }
}

fn shortened(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}
