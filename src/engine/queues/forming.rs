//! Forming a batch.

use super::flight_queue::{BatchNumber, FlightQueue};
use super::orders::OrderNumber;
use super::{Entry, FlightQueues, Group, Priority, Queued};
use crate::domain::FlightId;
use std::collections::VecDeque;
use std::mem;
use tokio::time::Instant;

/// Maximum orders of one flight that are tried for a batch. Each that is not taken goes to the end of another
/// flight's list.
const TRIED_MAX: usize = 512;

/// A batch that is being formed.
pub(super) struct Forming<T> {
    number: BatchNumber,
    group: Group,
    now: Instant,
    /// Room for more commands.
    room: usize,
    items: Vec<T>,
    has_orders: bool,
}

impl<T: Queued> Forming<T> {
    pub(super) fn number(&self) -> BatchNumber {
        self.number
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn add_order(&mut self, item: T) {
        self.room = self.room.saturating_sub(item.flights().len());
        self.items.push(item);
        self.has_orders = true;
    }
}

impl<T: Queued> FlightQueues<T> {
    /// Takes commands of a group's ready flights until there are `max`, and makes their flights busy: urgent
    /// commands first, each flight's in the order of its queue. An order counts as many commands as it has
    /// flights, and may exceed `max`.
    pub(crate) fn next_batch(&mut self, group: Group, max: usize, now: Instant) -> Vec<T> {
        let ready = mem::take(self.ready(group));
        if ready.is_empty() {
            return Vec::new();
        }
        self.batches += 1;
        let items = Vec::with_capacity(max.min(self.all_waiting()));
        let mut batch =
            Forming { number: self.batches, group, now, room: max, items, has_orders: false };
        for priority in [Priority::Urgent, Priority::Hold] {
            let before = batch.items.len();
            for flight in &ready {
                if batch.room == 0 {
                    break;
                }
                self.take_from(*flight, priority, &mut batch);
            }
            *self.count(priority) -= batch.items.len() - before;
        }
        self.return_ready(group, ready, batch.has_orders);
        batch.items
    }

    fn take_from(&mut self, flight: FlightId, priority: Priority, batch: &mut Forming<T>) {
        if !self.orders.is_empty() {
            self.try_reserver(flight, priority, batch);
            self.try_orders(flight, priority, batch);
        }
        while let Some(order) = self.take_until_order(flight, priority, batch) {
            self.come_to_front(order, batch);
        }
    }

    /// Tries the order for which the flight is reserved.
    fn try_reserver(&mut self, flight: FlightId, priority: Priority, batch: &mut Forming<T>) {
        if let Some(order) = self.queue(flight).reserved_for
            && self.orders.get(order).priority() == priority
        {
            self.take_or_delay(order, batch);
        }
    }

    /// Tries the orders that wait for the flight.
    fn try_orders(&mut self, flight: FlightId, priority: Priority, batch: &mut Forming<T>) {
        let tried = self.queue(flight).line(priority).orders.len().min(TRIED_MAX);
        for _ in 0..tried {
            let queue = self.queue(flight);
            if batch.room == 0 || queue.reserved_for.is_some() {
                return;
            }
            let Some(order) = queue.line(priority).orders.pop_front() else { return };
            self.take_or_delay(order, batch);
        }
    }

    /// Takes a flight's commands up to the next order, and removes and returns the order's entry.
    fn take_until_order(
        &mut self,
        flight: FlightId,
        priority: Priority,
        batch: &mut Forming<T>,
    ) -> Option<OrderNumber> {
        let queue = self.queue(flight);
        if queue.reserved_for.is_some() {
            return None;
        }
        let entries = &mut queue.line(priority).entries;
        let singles = entries.iter().take(batch.room).take_while(|entry| entry.is_single()).count();
        batch.items.extend(entries.drain(..singles).filter_map(Entry::into_single));
        batch.room -= singles;
        let order = match entries.front() {
            Some(Entry::Order(number)) if batch.room > 0 => Some(*number),
            _ => None,
        };
        if order.is_some() {
            entries.pop_front();
        }
        if singles > 0 {
            queue.batch = Some(batch.number);
        }
        order
    }

    /// Returns the flights of a group to its ready list.
    fn return_ready(&mut self, group: Group, mut flights: VecDeque<FlightId>, has_orders: bool) {
        flights.append(self.ready(group));
        self.retain_ready(group, flights);
        if has_orders {
            // An isolated order takes other flights along.
            let other = match group {
                Group::Shared => Group::Isolated,
                Group::Isolated => Group::Shared,
            };
            let flights = mem::take(self.ready(other));
            self.retain_ready(other, flights);
        }
    }

    /// Makes those of the flights a ready list that are not busy and have a waiting command.
    fn retain_ready(&mut self, group: Group, mut flights: VecDeque<FlightId>) {
        flights.retain(|flight| {
            let Some(queue) = self.queues.get_mut(flight) else { return false };
            let stays_ready = queue.stays_ready();
            if queue.batch.is_none() && !stays_ready {
                self.queues.remove(flight);
            }
            stays_ready
        });
        *self.ready(group) = flights;
    }

    fn queue(&mut self, flight: FlightId) -> &mut FlightQueue<T> {
        self.queues.get_mut(&flight).expect("a ready flight has a queue")
    }
}
