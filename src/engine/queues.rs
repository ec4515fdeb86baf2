//! The order in which commands run: each flight has one line, first come, first served.
//!
//! Urgent entries (whatever ends a booking or changes a flight) stand before holds, so that a rush
//! cannot starve the payments of what it sold. Pure; the engine puts it behind a mutex.

use crate::domain::FlightId;
use std::collections::{HashMap, VecDeque};

/// Which part of a flight's line an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Settle, Expire, Cancel, `PutFlight`: served first, never shed.
    Urgent,
    /// Hold: bounded, shed when full.
    Holds,
}

/// Which batches a flight's commands go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Those of all flights.
    Shared,
    /// Those of flights with a row that another session keeps: one at a time, for which no other flight
    /// waits.
    Apart,
}

/// Flights that are set apart at most: beyond it the one that was found longest ago goes with all others.
const APART_MAX: usize = 1_024;

/// One waiting command of one flight.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) flight: FlightId,
    pub(crate) queue: Queue,
    pub(crate) item: T,
}

/// All flights' lines. What is asked of them does not grow with how many wait behind a flight that a
/// running batch has.
#[derive(Debug)]
pub(crate) struct FlightQueues<T> {
    /// Of flights for which somebody waits, or that a running batch has.
    lines: HashMap<FlightId, Line<T>>,
    /// Flights for which somebody waits and that no running batch has, in the order of their turns.
    free: VecDeque<FlightId>,
    /// Those among them that are set apart.
    free_apart: VecDeque<FlightId>,
    /// Flights that are set apart, each with how many were before it.
    apart: HashMap<FlightId, u64>,
    set_apart: u64,
    urgent_waiting: usize,
    holds_waiting: usize,
}

/// One flight's line.
#[derive(Debug)]
struct Line<T> {
    urgent: VecDeque<T>,
    holds: VecDeque<T>,
    /// Whether a running batch has the flight.
    is_busy: bool,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { urgent: VecDeque::new(), holds: VecDeque::new(), is_busy: false }
    }
}

impl<T> Line<T> {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.holds.is_empty()
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<T> {
        match queue {
            Queue::Urgent => &mut self.urgent,
            Queue::Holds => &mut self.holds,
        }
    }
}

impl<T> Default for FlightQueues<T> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            free: VecDeque::new(),
            free_apart: VecDeque::new(),
            apart: HashMap::new(),
            set_apart: 0,
            urgent_waiting: 0,
            holds_waiting: 0,
        }
    }
}

impl<T> FlightQueues<T> {
    /// Puts an entry at its line's end.
    pub(crate) fn push(&mut self, Entry { flight, queue, item }: Entry<T>) {
        let line = self.lines.entry(flight).or_default();
        let is_next = line.is_empty() && !line.is_busy;
        line.queue(queue).push_back(item);
        if is_next {
            self.free_of(flight).push_back(flight);
        }
        *self.count(queue) += 1;
    }

    /// Puts entries back in their places, before all that came after them. Their flights are free,
    /// and next.
    pub(crate) fn put_back(&mut self, entries: Vec<Entry<T>>) {
        for Entry { flight, queue, item } in entries.into_iter().rev() {
            let line = self.lines.entry(flight).or_default();
            let was_busy = std::mem::take(&mut line.is_busy);
            line.queue(queue).push_front(item);
            if was_busy {
                self.free_of(flight).push_front(flight);
            }
            *self.count(queue) += 1;
        }
    }

    /// Takes up to `max` entries of a group's flights that no running batch has, and makes those flights
    /// busy: urgent ones first, a flight's in the order of its line.
    pub(crate) fn next_batch(&mut self, group: Group, max: usize) -> Vec<Entry<T>> {
        let mut free = std::mem::take(self.free_in(group));
        let mut batch = Vec::with_capacity(max.min(self.all_waiting()));
        for queue in [Queue::Urgent, Queue::Holds] {
            let before = batch.len();
            for flight in &free {
                let line = self.lines.get_mut(flight).expect("a free flight has a line");
                let waiting = line.queue(queue);
                let taken = waiting.len().min(max - batch.len());
                let entry = |item| Entry { flight: *flight, queue, item };
                batch.extend(waiting.drain(..taken).map(entry));
                line.is_busy |= taken > 0;
            }
            *self.count(queue) -= batch.len() - before;
        }
        free.retain(|flight| !self.lines[flight].is_busy);
        *self.free_in(group) = free;
        batch
    }

    /// Sets a flight apart that a running batch has: another session keeps a row of it.
    pub(crate) fn set_apart(&mut self, flight: FlightId) {
        self.set_apart += 1;
        self.apart.insert(flight, self.set_apart);
        if self.apart.len() > APART_MAX
            && let Some(oldest) = self.apart.iter().min_by_key(|(_, number)| **number)
        {
            let oldest = *oldest.0;
            self.apart.remove(&oldest);
        }
    }

    /// Lets a flight that a running batch has go with all others again.
    pub(crate) fn rejoin(&mut self, flight: FlightId) {
        self.apart.remove(&flight);
    }

    /// The batch that had these flights is done.
    pub(crate) fn free(&mut self, flights: impl IntoIterator<Item = FlightId>) {
        for flight in flights {
            let Some(line) = self.lines.get_mut(&flight).filter(|line| line.is_busy) else {
                continue;
            };
            if line.is_empty() {
                self.lines.remove(&flight);
            } else {
                line.is_busy = false;
                self.free_of(flight).push_back(flight);
            }
        }
    }

    fn free_of(&mut self, flight: FlightId) -> &mut VecDeque<FlightId> {
        let is_apart = !self.apart.is_empty() && self.apart.contains_key(&flight);
        self.free_in(if is_apart { Group::Apart } else { Group::Shared })
    }

    fn free_in(&mut self, group: Group) -> &mut VecDeque<FlightId> {
        match group {
            Group::Shared => &mut self.free,
            Group::Apart => &mut self.free_apart,
        }
    }

    /// How many entries wait.
    pub(crate) fn all_waiting(&self) -> usize {
        self.urgent_waiting + self.holds_waiting
    }

    /// How many entries wait in a queue.
    pub(crate) fn waiting(&self, queue: Queue) -> usize {
        match queue {
            Queue::Urgent => self.urgent_waiting,
            Queue::Holds => self.holds_waiting,
        }
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    fn count(&mut self, queue: Queue) -> &mut usize {
        match queue {
            Queue::Urgent => &mut self.urgent_waiting,
            Queue::Holds => &mut self.holds_waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[(i64, Queue, &'static str)]) -> FlightQueues<&'static str> {
        let mut lines = FlightQueues::default();
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
        assert_eq!(items(&lines.next_batch(Group::Shared, 10)), ["settle", "a", "c", "b"]);
        assert!(!lines.is_idle());
        lines.free([FlightId(1), FlightId(2)]);
        assert!(lines.is_idle());
    }

    #[test]
    fn a_busy_flight_waits_and_nobody_overtakes_in_its_line() {
        use Queue::Holds;
        let mut lines = lines(&[(1, Holds, "a"), (1, Holds, "b"), (2, Holds, "c")]);
        let first = lines.next_batch(Group::Shared, 1);
        assert_eq!(items(&first), ["a"]);
        lines.push(Entry { flight: FlightId(1), queue: Holds, item: "d" });
        assert_eq!(items(&lines.next_batch(Group::Shared, 10)), ["c"]);
        assert_eq!(items(&lines.next_batch(Group::Shared, 10)), [""; 0]);
        lines.put_back(first);
        assert_eq!(lines.waiting(Holds), 3);
        assert_eq!(items(&lines.next_batch(Group::Shared, 10)), ["a", "b", "d"]);
    }

    #[test]
    fn a_flight_that_a_batch_is_too_small_for_has_its_turn_after_the_others() {
        use Queue::Holds;
        let mut lines =
            lines(&[(1, Holds, "a"), (1, Holds, "b"), (1, Holds, "c"), (2, Holds, "d")]);
        assert_eq!(items(&lines.next_batch(Group::Shared, 2)), ["a", "b"]);
        lines.free([FlightId(1)]);
        assert_eq!(items(&lines.next_batch(Group::Shared, 1)), ["d"]);
        assert_eq!(items(&lines.next_batch(Group::Shared, 2)), ["c"]);
        assert_eq!(lines.all_waiting(), 0);
        lines.free([FlightId(1), FlightId(2), FlightId(3)]);
        assert!(lines.is_idle());
    }

    #[test]
    fn flights_that_are_set_apart_share_batches_among_themselves_alone() {
        use Queue::Holds;
        let mut lines =
            lines(&[(1, Holds, "a"), (2, Holds, "b"), (3, Holds, "c"), (1, Holds, "d")]);
        let first = lines.next_batch(Group::Shared, 3);
        assert_eq!(items(&first), ["a", "d", "b"]);
        lines.set_apart(FlightId(1));
        lines.set_apart(FlightId(2));
        lines.push(Entry { flight: FlightId(1), queue: Holds, item: "e" });
        assert_eq!(items(&lines.next_batch(Group::Apart, 9)), [""; 0], "a batch has them");
        lines.put_back(first);
        lines.push(Entry { flight: FlightId(2), queue: Holds, item: "f" });
        assert_eq!(items(&lines.next_batch(Group::Shared, 9)), ["c"]);
        assert_eq!(items(&lines.next_batch(Group::Apart, 9)), ["a", "d", "e", "b", "f"]);

        lines.rejoin(FlightId(2));
        lines.push(Entry { flight: FlightId(1), queue: Holds, item: "g" });
        lines.push(Entry { flight: FlightId(2), queue: Holds, item: "h" });
        lines.free([FlightId(1), FlightId(2), FlightId(3)]);
        assert_eq!(items(&lines.next_batch(Group::Shared, 9)), ["h"]);
        assert_eq!(items(&lines.next_batch(Group::Apart, 9)), ["g"]);
        lines.free([FlightId(1), FlightId(2)]);
        assert!(lines.is_idle());
    }

    #[test]
    fn no_more_flights_than_the_bound_are_set_apart() {
        let mut lines = lines(&[]);
        let found = APART_MAX as i64 + 2;
        for flight in 0..found {
            lines.set_apart(FlightId(flight));
        }
        lines.set_apart(FlightId(5));
        assert_eq!(lines.apart.len(), APART_MAX);
        for flight in 0..found {
            lines.push(Entry { flight: FlightId(flight), queue: Queue::Holds, item: "a" });
        }
        assert_eq!(lines.next_batch(Group::Shared, 9).len(), 2, "those found longest ago");
        assert_eq!(lines.next_batch(Group::Apart, 2_000).len(), APART_MAX);
    }
}
