//! Commands of several flights: orders.
//!
//! An order has an entry in the queue of each of its flights at once. Where an entry comes to the front, it
//! is removed, and the commands behind it have their turns: an order over a hot and a quiet flight does not
//! block the quiet one. When the last entry is removed, the order may run: a batch takes it if no other
//! batch has one of its flights. Otherwise the order waits at such a flight, and is tried again when that
//! flight is free. An order that has waited in this way for [`STEPPED_OVER_MAX`] reserves its flights: other
//! commands wait until it has run, so that it is not stepped over for ever.

use super::forming::Forming;
use super::{Entry, FlightQueues, Group, Queued};
use crate::domain::{FlightId, FlightIds};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long an order that may run is stepped over before it reserves its flights.
pub(super) const STEPPED_OVER_MAX: Duration = Duration::from_millis(100);

/// Number of an order, in the order of arrival.
pub(super) type OrderNumber = u64;

/// The waiting orders.
#[derive(Debug)]
pub(super) struct Orders<T> {
    waiting: HashMap<OrderNumber, Order<T>>,
    last: OrderNumber,
}

/// A waiting order.
#[derive(Debug)]
struct Order<T> {
    item: T,
    /// Number of its entries in queues.
    entries: usize,
    /// When a batch first could not take it for another batch's sake.
    delayed_since: Option<Instant>,
    has_reserved: bool,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), last: 0 }
    }
}

impl<T: Queued> Orders<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn add(&mut self, item: T, entries: usize) -> OrderNumber {
        self.last += 1;
        let order = Order { item, entries, delayed_since: None, has_reserved: false };
        self.waiting.insert(self.last, order);
        self.last
    }

    pub(super) fn get(&self, number: OrderNumber) -> &T {
        &self.waiting[&number].item
    }

    fn get_mut(&mut self, number: OrderNumber) -> &mut Order<T> {
        self.waiting.get_mut(&number).expect("an order waits until a batch takes it")
    }
}

impl<T: Queued> FlightQueues<T> {
    /// Adds an order at the end of the queue of each of its flights.
    pub(super) fn push_order(&mut self, item: T) {
        let (flights, priority) = (FlightIds::from(item.flights()), item.priority());
        debug_assert!(!flights.is_empty(), "a command without flights would wait for ever");
        let number = self.orders.add(item, flights.len());
        for flight in flights {
            let queue = self.queues.entry(flight).or_default();
            queue.line(priority).entries.push_back(Entry::Order(number));
            if queue.becomes_ready() {
                self.ready_for(flight).push_back(flight);
            }
        }
    }

    /// Returns an order that a batch has taken: it is tried before other orders. Frees none of its flights.
    pub(super) fn requeue_order(&mut self, item: T) {
        let (flights, priority) = (FlightIds::from(item.flights()), item.priority());
        let number = self.orders.add(item, 0);
        let is_busy =
            |flight: &FlightId| self.queues.get(flight).is_some_and(|q| q.batch.is_some());
        let busy = flights.iter().copied().find(is_busy);
        let flight = busy.or_else(|| self.isolated_of(&flights)).unwrap_or(flights[0]);
        let queue = self.queues.entry(flight).or_default();
        queue.line(priority).orders.push_front(number);
        if queue.becomes_ready() {
            self.ready_for(flight).push_front(flight);
        }
    }

    /// Notes that an order's entry came to the front of a queue. Takes the order if it was the last entry.
    pub(super) fn come_to_front(&mut self, number: OrderNumber, batch: &mut Forming<T>) {
        let order = self.orders.get_mut(number);
        order.entries -= 1;
        if order.entries == 0 {
            self.take_or_delay(number, batch);
        }
    }

    /// Takes an order that has come to the front of all its queues, if this batch can have its flights.
    pub(super) fn take_or_delay(&mut self, number: OrderNumber, batch: &mut Forming<T>) {
        let flights = FlightIds::from(self.orders.get(number).flights());
        let isolated = self.isolated_of(&flights).filter(|_| batch.group() == Group::Shared);
        let unavailable =
            flights.iter().copied().find(|flight| !self.is_available(*flight, number, batch));
        match (isolated, unavailable) {
            (None, None) => self.take_order(number, &flights, batch),
            // Only the batches of isolated flights can take it, or make it reserve its flights.
            (Some(flight), _) => self.wait_at(flight, number),
            (None, Some(flight)) => self.delay(number, &flights, flight, batch.now()),
        }
    }

    /// Whether the flight is neither another batch's nor reserved for another order.
    fn is_available(&self, flight: FlightId, number: OrderNumber, batch: &Forming<T>) -> bool {
        self.queues.get(&flight).is_none_or(|queue| {
            queue.batch.is_none_or(|taken_by| taken_by == batch.number())
                && queue.reserved_for.is_none_or(|order| order == number)
        })
    }

    fn take_order(&mut self, number: OrderNumber, flights: &[FlightId], batch: &mut Forming<T>) {
        let order = self.orders.waiting.remove(&number).expect("an order is taken once");
        for flight in flights {
            let queue = self.queues.entry(*flight).or_default();
            queue.batch = Some(batch.number());
            queue.reserved_for = None;
        }
        batch.add_order(order.item);
    }

    /// Lets an order wait for an unavailable flight, or reserves its flights if it has waited for too long.
    fn delay(
        &mut self,
        number: OrderNumber,
        flights: &[FlightId],
        unavailable: FlightId,
        now: Instant,
    ) {
        let order = self.orders.get_mut(number);
        let since = *order.delayed_since.get_or_insert(now);
        if now < since + STEPPED_OVER_MAX {
            return self.wait_at(unavailable, number);
        }
        if order.has_reserved {
            return;
        }
        // All or none: orders that each reserved a part would wait for each other.
        let is_reserved =
            |flight: &FlightId| self.queues.get(flight).is_some_and(|q| q.reserved_for.is_some());
        match flights.iter().copied().find(is_reserved) {
            Some(flight) => self.wait_at(flight, number),
            None => self.reserve(number, flights),
        }
    }

    fn reserve(&mut self, number: OrderNumber, flights: &[FlightId]) {
        self.orders.get_mut(number).has_reserved = true;
        for flight in flights {
            let queue = self.queues.entry(*flight).or_default();
            queue.reserved_for = Some(number);
            if queue.becomes_ready() {
                self.ready_for(*flight).push_back(*flight);
            }
        }
    }

    /// Lets an order wait until this flight is free. An order that has reserved its flights is found by them.
    fn wait_at(&mut self, flight: FlightId, number: OrderNumber) {
        let order = self.orders.get_mut(number);
        if !order.has_reserved {
            let priority = order.item.priority();
            let queue = self.queues.entry(flight).or_default();
            queue.line(priority).orders.push_back(number);
            if queue.becomes_ready() {
                self.ready_for(flight).push_back(flight);
            }
        }
    }

    fn isolated_of(&self, flights: &[FlightId]) -> Option<FlightId> {
        if self.isolated.is_empty() {
            return None;
        }
        flights.iter().copied().find(|flight| self.isolated.contains_key(flight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::queues::Priority::{self, Hold, Urgent};
    use crate::engine::queues::model::Item;

    fn flights(ids: &[i64]) -> FlightIds {
        ids.iter().copied().map(FlightId).collect()
    }

    fn push(queues: &mut FlightQueues<Item>, id: usize, on: &[i64], priority: Priority) {
        queues.push(Item { id, flights: flights(on), priority });
    }

    fn queues_of(items: &[(usize, &[i64])]) -> FlightQueues<Item> {
        let mut queues = FlightQueues::default();
        for (id, on) in items {
            push(&mut queues, *id, on, Hold);
        }
        queues
    }

    fn ids(batch: &[Item]) -> Vec<usize> {
        batch.iter().map(|item| item.id).collect()
    }

    fn next(queues: &mut FlightQueues<Item>, max: usize, now: Instant) -> Vec<usize> {
        ids(&queues.next_batch(Group::Shared, max, now))
    }

    #[test]
    fn an_order_runs_where_it_comes_to_the_front_of_its_last_queue() {
        let now = Instant::now();
        let mut queues =
            queues_of(&[(1, &[1]), (2, &[1, 2]), (3, &[1]), (4, &[2]), (5, &[2, 1]), (6, &[2])]);
        push(&mut queues, 7, &[2, 1, 3], Urgent);
        assert_eq!(queues.all_waiting(), 7, "an order counts once");
        assert_eq!(next(&mut queues, 99, now), [7, 1, 3, 2, 4, 5, 6]);
        queues.release(flights(&[1, 2, 3]));
        assert!(queues.is_idle());
    }

    #[test]
    fn an_order_does_not_block_a_quiet_flight_while_it_moves_up_on_a_hot_one() {
        let now = Instant::now();
        let mut queues = queues_of(&[(1, &[1]), (2, &[1]), (3, &[1]), (4, &[1, 2]), (5, &[1])]);
        assert_eq!(next(&mut queues, 2, now), [1, 2]);
        for quiet in 6..9 {
            push(&mut queues, quiet, &[2], Hold);
            assert_eq!(next(&mut queues, 2, now), [quiet]);
            queues.release(flights(&[2]));
        }
        queues.release(flights(&[1]));
        assert_eq!(next(&mut queues, 99, now), [3, 4, 5]);
        queues.release(flights(&[1, 2]));
        assert!(queues.is_idle());
    }

    #[test]
    fn an_order_that_waits_for_too_long_reserves_its_flights() {
        let start = Instant::now();
        let mut queues = queues_of(&[(1, &[1])]);
        assert_eq!(next(&mut queues, 99, start), [1]);
        push(&mut queues, 2, &[1, 2, 3], Hold);
        push(&mut queues, 3, &[2], Hold);
        assert_eq!(next(&mut queues, 99, start), [3], "it waits for flight 1");
        queues.release(flights(&[1]));
        push(&mut queues, 4, &[1], Hold);
        assert_eq!(next(&mut queues, 99, start), [4], "it waits for flight 2");
        queues.release(flights(&[2]));
        let late = start + STEPPED_OVER_MAX;
        assert_eq!(next(&mut queues, 99, late), [0; 0], "it waits for flight 1");
        push(&mut queues, 5, &[3], Urgent);
        push(&mut queues, 6, &[3, 4], Hold);
        push(&mut queues, 7, &[4], Hold);
        assert_eq!(next(&mut queues, 99, late), [7], "flight 3 is reserved");
        queues.release(flights(&[1]));
        assert_eq!(next(&mut queues, 99, late), [2], "it has its turn");
        queues.release(flights(&[1, 2, 3, 4]));
        assert_eq!(next(&mut queues, 99, late), [5, 6]);
        queues.release(flights(&[3, 4]));
        assert!(queues.is_idle());
    }

    #[test]
    fn orders_that_wait_for_the_same_flight_keep_their_order() {
        let now = Instant::now();
        let mut queues = queues_of(&[(1, &[2])]);
        assert_eq!(next(&mut queues, 99, now), [1]);
        for id in 2..6 {
            push(&mut queues, id, &[1, 2], Hold);
        }
        push(&mut queues, 6, &[1], Hold);
        assert_eq!(next(&mut queues, 99, now), [6], "the orders wait in the queue of flight 2");
        queues.release(flights(&[2]));
        assert_eq!(next(&mut queues, 99, now), [0; 0], "the orders wait for flight 1");
        queues.release(flights(&[1]));
        assert_eq!(next(&mut queues, 5, now), [2, 3, 4], "each counts as two");
        queues.release(flights(&[1, 2]));
        assert_eq!(next(&mut queues, 5, now), [5]);
    }

    #[test]
    fn a_returned_order_comes_first_and_frees_no_flight() {
        let now = Instant::now();
        let mut queues = queues_of(&[(1, &[3])]);
        assert_eq!(next(&mut queues, 99, now), [1]);
        push(&mut queues, 2, &[1, 3], Hold);
        push(&mut queues, 3, &[1, 2], Hold);
        let batch = queues.next_batch(Group::Shared, 99, now);
        assert_eq!(ids(&batch), [3], "order 2 waits in the queue of flight 3");
        queues.release(flights(&[3]));
        assert_eq!(next(&mut queues, 99, now), [0; 0], "order 2 waits for flight 1");
        queues.requeue(batch);
        assert_eq!(next(&mut queues, 99, now), [0; 0], "flights 1 and 2 are busy");
        queues.release(flights(&[1, 2]));
        assert_eq!(next(&mut queues, 99, now), [3, 2]);
    }

    #[test]
    fn an_order_with_an_isolated_flight_takes_its_other_flights_along() {
        let now = Instant::now();
        let mut queues = queues_of(&[(1, &[1])]);
        assert_eq!(next(&mut queues, 99, now), [1]);
        queues.isolate(FlightId(1));
        queues.release(flights(&[1]));
        push(&mut queues, 2, &[2, 1], Hold);
        push(&mut queues, 3, &[2], Hold);
        let isolated =
            |queues: &mut FlightQueues<Item>| ids(&queues.next_batch(Group::Isolated, 99, now));
        assert_eq!(isolated(&mut queues), [0; 0], "it is not yet at the front of flight 2");
        assert_eq!(next(&mut queues, 1, now), [3]);
        queues.release(flights(&[2]));
        push(&mut queues, 4, &[2], Hold);
        assert_eq!(isolated(&mut queues), [2]);
        assert_eq!(next(&mut queues, 99, now), [0; 0], "flight 2 is busy");
        queues.release(flights(&[1, 2]));
        assert_eq!(next(&mut queues, 99, now), [4]);
    }
}
