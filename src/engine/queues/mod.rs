//! The order in which commands run: one queue for each flight, first in, first out.
//!
//! Urgent commands, which end a booking or change a flight, run before holds, so that a rush of holds
//! cannot starve the payments of earlier ones. A command of several flights, an order, waits in the queue of
//! each of them: [`orders`] says when it runs. Pure; the engine keeps it behind a mutex.

mod flight_queue;
mod forming;
#[cfg(test)]
mod model;
mod orders;

use crate::domain::FlightId;
use flight_queue::{BatchNumber, Entry, FlightQueue};
use orders::Orders;
use std::collections::{HashMap, VecDeque};

/// Which part of a flight's queue a command is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// All commands but holds: run first, never shed.
    Urgent,
    /// Holds: bounded, shed when the bound is reached.
    Hold,
}

/// Which batches a flight's commands join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Batches of all other flights.
    Shared,
    /// Batches of flights with a row that another database session has locked: one at a time, beside the
    /// shared ones, so that no other flight waits for the lock. An order is isolated if one of its flights is.
    Isolated,
}

/// Maximum isolated flights. Beyond it the flight isolated longest ago returns to the shared batches.
const ISOLATED_MAX: usize = 1_024;

/// A command that waits in the queues of its flights.
pub(crate) trait Queued {
    /// At least one, each once.
    fn flights(&self) -> &[FlightId];
    fn priority(&self) -> Priority;
}

/// The queues of all flights. The cost of an operation does not grow with the number of commands behind a
/// busy flight.
#[derive(Debug)]
pub(crate) struct FlightQueues<T> {
    /// Queues of flights that have a waiting command or are busy.
    queues: HashMap<FlightId, FlightQueue<T>>,
    orders: Orders<T>,
    /// Flights with a waiting command that are neither busy nor isolated, in the order of their turns.
    ready: VecDeque<FlightId>,
    /// The same, of isolated flights.
    ready_isolated: VecDeque<FlightId>,
    /// Isolated flights, numbered in the order of their isolation.
    isolated: HashMap<FlightId, u64>,
    isolations: u64,
    /// Number of the last batch.
    batches: BatchNumber,
    urgent_waiting: usize,
    holds_waiting: usize,
}

impl<T> Default for FlightQueues<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            orders: Orders::default(),
            ready: VecDeque::new(),
            ready_isolated: VecDeque::new(),
            isolated: HashMap::new(),
            isolations: 0,
            batches: 0,
            urgent_waiting: 0,
            holds_waiting: 0,
        }
    }
}

impl<T: Queued> FlightQueues<T> {
    /// Adds a command at the end of the queue of each of its flights.
    pub(crate) fn push(&mut self, item: T) {
        let priority = item.priority();
        *self.count(priority) += 1;
        let [flight] = *item.flights() else { return self.push_order(item) };
        let queue = self.queues.entry(flight).or_default();
        queue.line(priority).entries.push_back(Entry::Single(item));
        if queue.becomes_ready() {
            self.ready_for(flight).push_back(flight);
        }
    }

    /// Returns commands of a batch to the front of their queues. The flights of commands of one flight are no
    /// longer busy, and have the next turns. Orders free no flight.
    pub(crate) fn requeue(&mut self, items: Vec<T>) {
        for item in items.into_iter().rev() {
            let priority = item.priority();
            *self.count(priority) += 1;
            let [flight] = *item.flights() else {
                self.requeue_order(item);
                continue;
            };
            let queue = self.queues.entry(flight).or_default();
            queue.batch = None;
            queue.line(priority).entries.push_front(Entry::Single(item));
            if queue.becomes_ready() {
                self.ready_for(flight).push_front(flight);
            }
        }
    }

    /// Isolates a busy flight, since another database session has locked a row of it.
    pub(crate) fn isolate(&mut self, flight: FlightId) {
        self.isolations += 1;
        self.isolated.insert(flight, self.isolations);
        if self.isolated.len() > ISOLATED_MAX
            && let Some(oldest) = self.isolated.iter().min_by_key(|(_, number)| **number)
        {
            let oldest = *oldest.0;
            self.isolated.remove(&oldest);
        }
    }

    /// Returns a busy flight to the shared batches.
    pub(crate) fn rejoin(&mut self, flight: FlightId) {
        self.isolated.remove(&flight);
    }

    /// Ends the batch of these flights: they are no longer busy.
    pub(crate) fn release(&mut self, flights: impl IntoIterator<Item = FlightId>) {
        for flight in flights {
            let Some(queue) = self.queues.get_mut(&flight).filter(|queue| queue.batch.is_some())
            else {
                continue;
            };
            queue.batch = None;
            if queue.becomes_ready() {
                self.ready_for(flight).push_back(flight);
            } else if queue.is_empty() {
                self.queues.remove(&flight);
            }
        }
    }

    fn ready_for(&mut self, flight: FlightId) -> &mut VecDeque<FlightId> {
        let is_isolated = !self.isolated.is_empty() && self.isolated.contains_key(&flight);
        self.ready(if is_isolated { Group::Isolated } else { Group::Shared })
    }

    fn ready(&mut self, group: Group) -> &mut VecDeque<FlightId> {
        match group {
            Group::Shared => &mut self.ready,
            Group::Isolated => &mut self.ready_isolated,
        }
    }

    /// Number of waiting commands.
    pub(crate) fn all_waiting(&self) -> usize {
        self.urgent_waiting + self.holds_waiting
    }

    /// Number of waiting commands of a priority.
    pub(crate) fn waiting(&self, priority: Priority) -> usize {
        match priority {
            Priority::Urgent => self.urgent_waiting,
            Priority::Hold => self.holds_waiting,
        }
    }

    /// Whether no command waits and no flight is busy.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    fn count(&mut self, priority: Priority) -> &mut usize {
        match priority {
            Priority::Urgent => &mut self.urgent_waiting,
            Priority::Hold => &mut self.holds_waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;
    use tokio::time::Instant;

    /// Flight, priority, name.
    type Item = (FlightId, Priority, &'static str);

    impl Queued for Item {
        fn flights(&self) -> &[FlightId] {
            slice::from_ref(&self.0)
        }

        fn priority(&self) -> Priority {
            self.1
        }
    }

    fn push(queues: &mut FlightQueues<Item>, item: (i64, Priority, &'static str)) {
        queues.push((FlightId(item.0), item.1, item.2));
    }

    fn queues_of(items: &[(i64, Priority, &'static str)]) -> FlightQueues<Item> {
        let mut queues = FlightQueues::default();
        for item in items {
            push(&mut queues, *item);
        }
        queues
    }

    fn next(queues: &mut FlightQueues<Item>, group: Group, max: usize) -> Vec<Item> {
        queues.next_batch(group, max, Instant::now())
    }

    fn names(batch: &[Item]) -> Vec<&'static str> {
        batch.iter().map(|item| item.2).collect()
    }

    #[test]
    fn urgent_commands_run_first_and_each_queue_keeps_its_order() {
        use Priority::{Hold, Urgent};
        let mut queues =
            queues_of(&[(1, Hold, "a"), (2, Hold, "b"), (1, Urgent, "settle"), (1, Hold, "c")]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 10)), ["settle", "a", "c", "b"]);
        assert!(!queues.is_idle());
        queues.release([FlightId(1), FlightId(2)]);
        assert!(queues.is_idle());
    }

    #[test]
    fn a_busy_flight_waits_and_its_queue_keeps_its_order() {
        use Priority::Hold;
        let mut queues = queues_of(&[(1, Hold, "a"), (1, Hold, "b"), (2, Hold, "c")]);
        let first = next(&mut queues, Group::Shared, 1);
        assert_eq!(names(&first), ["a"]);
        push(&mut queues, (1, Hold, "d"));
        assert_eq!(names(&next(&mut queues, Group::Shared, 10)), ["c"]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 10)), [""; 0]);
        queues.requeue(first);
        assert_eq!(queues.waiting(Hold), 3);
        assert_eq!(names(&next(&mut queues, Group::Shared, 10)), ["a", "b", "d"]);
    }

    #[test]
    fn a_flight_that_does_not_fit_into_a_batch_has_its_next_turn_after_the_others() {
        use Priority::Hold;
        let mut queues =
            queues_of(&[(1, Hold, "a"), (1, Hold, "b"), (1, Hold, "c"), (2, Hold, "d")]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 2)), ["a", "b"]);
        queues.release([FlightId(1)]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 1)), ["d"]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 2)), ["c"]);
        assert_eq!(queues.all_waiting(), 0);
        queues.release([FlightId(1), FlightId(2), FlightId(3)]);
        assert!(queues.is_idle());
    }

    #[test]
    fn isolated_flights_share_batches_only_with_each_other() {
        use Priority::Hold;
        let mut queues =
            queues_of(&[(1, Hold, "a"), (2, Hold, "b"), (3, Hold, "c"), (1, Hold, "d")]);
        let first = next(&mut queues, Group::Shared, 3);
        assert_eq!(names(&first), ["a", "d", "b"]);
        queues.isolate(FlightId(1));
        queues.isolate(FlightId(2));
        push(&mut queues, (1, Hold, "e"));
        assert_eq!(names(&next(&mut queues, Group::Isolated, 9)), [""; 0], "they are busy");
        queues.requeue(first);
        push(&mut queues, (2, Hold, "f"));
        assert_eq!(names(&next(&mut queues, Group::Shared, 9)), ["c"]);
        assert_eq!(names(&next(&mut queues, Group::Isolated, 9)), ["a", "d", "e", "b", "f"]);

        queues.rejoin(FlightId(2));
        push(&mut queues, (1, Hold, "g"));
        push(&mut queues, (2, Hold, "h"));
        queues.release([FlightId(1), FlightId(2), FlightId(3)]);
        assert_eq!(names(&next(&mut queues, Group::Shared, 9)), ["h"]);
        assert_eq!(names(&next(&mut queues, Group::Isolated, 9)), ["g"]);
        queues.release([FlightId(1), FlightId(2)]);
        assert!(queues.is_idle());
    }

    #[test]
    fn isolated_flights_are_bounded() {
        let mut queues = queues_of(&[]);
        let found = ISOLATED_MAX as i64 + 2;
        for flight in 0..found {
            queues.isolate(FlightId(flight));
        }
        queues.isolate(FlightId(5));
        assert_eq!(queues.isolated.len(), ISOLATED_MAX);
        for flight in 0..found {
            push(&mut queues, (flight, Priority::Hold, "a"));
        }
        assert_eq!(
            next(&mut queues, Group::Shared, 9).len(),
            2,
            "the flights isolated longest ago"
        );
        assert_eq!(next(&mut queues, Group::Isolated, 2_000).len(), ISOLATED_MAX);
    }
}
