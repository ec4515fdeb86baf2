//! The order in which commands run: each flight has one line, first come, first served.
//!
//! Urgent entries (whatever ends a booking or changes a flight) stand before holds, so that a rush
//! cannot starve the payments of what it sold. Pure; the engine puts it behind a mutex.

use crate::domain::FlightId;
use std::collections::{HashSet, VecDeque};

/// Which part of a flight's line an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Settle, Expire, Cancel, `PutFlight`: served first, never shed.
    Urgent,
    /// Hold: bounded, shed when full.
    Holds,
}

/// One waiting command of one flight.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) flight: FlightId,
    pub(super) queue: Queue,
    pub(super) item: T,
}

/// All flights' lines, and the flights that a running batch has.
#[derive(Debug)]
pub(super) struct Lines<T> {
    urgent: VecDeque<Entry<T>>,
    holds: VecDeque<Entry<T>>,
    busy: HashSet<FlightId>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { urgent: VecDeque::new(), holds: VecDeque::new(), busy: HashSet::new() }
    }
}

impl<T> Lines<T> {
    /// Puts an entry at its line's end.
    pub(super) fn push(&mut self, entry: Entry<T>) {
        self.queue_mut(entry.queue).push_back(entry);
    }

    /// Puts entries back in their places, before all that came after them. Their flights are free.
    pub(super) fn put_back(&mut self, entries: Vec<Entry<T>>) {
        for entry in entries.into_iter().rev() {
            self.busy.remove(&entry.flight);
            self.queue_mut(entry.queue).push_front(entry);
        }
    }

    /// Takes up to `max` entries whose flights no running batch has, and makes those flights busy.
    ///
    /// Entries of one flight leave in the order of its line; those of busy flights keep their place.
    pub(super) fn next_batch(&mut self, max: usize) -> Vec<Entry<T>> {
        let mut batch = Vec::new();
        for queue in [&mut self.urgent, &mut self.holds] {
            let mut passed_over = Vec::new();
            while batch.len() < max
                && let Some(entry) = queue.pop_front()
            {
                if self.busy.contains(&entry.flight) {
                    passed_over.push(entry);
                } else {
                    batch.push(entry);
                }
            }
            while let Some(entry) = passed_over.pop() {
                queue.push_front(entry);
            }
        }
        self.busy.extend(batch.iter().map(|entry| entry.flight));
        batch
    }

    /// The batch that had these flights is done.
    pub(super) fn free(&mut self, flights: impl IntoIterator<Item = FlightId>) {
        for flight in flights {
            self.busy.remove(&flight);
        }
    }

    /// How many entries wait.
    pub(super) fn all_waiting(&self) -> usize {
        self.urgent.len() + self.holds.len()
    }

    /// How many entries wait in a queue.
    pub(super) fn waiting(&self, queue: Queue) -> usize {
        match queue {
            Queue::Urgent => self.urgent.len(),
            Queue::Holds => self.holds.len(),
        }
    }

    /// Whether nothing waits and nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.urgent.is_empty() && self.holds.is_empty() && self.busy.is_empty()
    }

    fn queue_mut(&mut self, queue: Queue) -> &mut VecDeque<Entry<T>> {
        match queue {
            Queue::Urgent => &mut self.urgent,
            Queue::Holds => &mut self.holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[(i64, Queue, &'static str)]) -> Lines<&'static str> {
        let mut lines = Lines::default();
        for (flight, queue, item) in entries {
            lines.push(Entry { flight: FlightId(*flight), queue: *queue, item: *item });
        }
        lines
    }

    fn items(batch: &[Entry<&'static str>]) -> Vec<&'static str> {
        batch.iter().map(|entry| entry.item).collect()
    }

    #[test]
    fn urgent_entries_go_first_and_each_line_keeps_its_order() {
        use Queue::{Holds, Urgent};
        let mut lines =
            lines(&[(1, Holds, "a"), (2, Holds, "b"), (1, Urgent, "settle"), (1, Holds, "c")]);
        assert_eq!(items(&lines.next_batch(10)), ["settle", "a", "b", "c"]);
        assert!(!lines.is_idle());
        lines.free([FlightId(1), FlightId(2)]);
        assert!(lines.is_idle());
    }

    #[test]
    fn a_busy_flight_waits_and_nobody_overtakes_in_its_line() {
        use Queue::Holds;
        let mut lines = lines(&[(1, Holds, "a"), (1, Holds, "b"), (2, Holds, "c")]);
        let first = lines.next_batch(1);
        assert_eq!(items(&first), ["a"]);
        lines.push(Entry { flight: FlightId(1), queue: Holds, item: "d" });
        assert_eq!(items(&lines.next_batch(10)), ["c"]);
        lines.put_back(first);
        assert_eq!(items(&lines.next_batch(10)), ["a", "b", "d"]);
    }
}
