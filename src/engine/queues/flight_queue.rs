//! One flight's queue.

use super::Priority;
use super::orders::OrderNumber;
use std::collections::VecDeque;

/// Number of a batch, in the order in which batches are formed.
pub(super) type BatchNumber = u64;

/// One flight's queue.
#[derive(Debug)]
pub(super) struct FlightQueue<T> {
    urgent: Line<T>,
    holds: Line<T>,
    /// The running batch that has the flight: the flight is busy.
    pub(super) batch: Option<BatchNumber>,
    /// The order for which the flight is reserved: only its batch takes the flight.
    pub(super) reserved_for: Option<OrderNumber>,
    /// Whether the flight is in a ready list.
    is_ready: bool,
}

/// The commands of one priority.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// Orders that have come to the front of all their queues and wait until this flight is free. They have
    /// their turns before the entries.
    pub(super) orders: VecDeque<OrderNumber>,
    pub(super) entries: VecDeque<Entry<T>>,
}

/// A place in a line.
#[derive(Debug)]
pub(super) enum Entry<T> {
    /// A command of this flight alone.
    Single(T),
    /// An order, with an entry in the queue of each of its flights.
    Order(OrderNumber),
}

impl<T> Entry<T> {
    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::Single(_))
    }

    pub(super) fn into_single(self) -> Option<T> {
        match self {
            Self::Single(item) => Some(item),
            Self::Order(_) => None,
        }
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { orders: VecDeque::new(), entries: VecDeque::new() }
    }
}

impl<T> Default for FlightQueue<T> {
    fn default() -> Self {
        Self {
            urgent: Line::default(),
            holds: Line::default(),
            batch: None,
            reserved_for: None,
            is_ready: false,
        }
    }
}

impl<T> FlightQueue<T> {
    /// Whether nothing waits for the flight.
    pub(super) fn is_empty(&self) -> bool {
        let Self { urgent, holds, .. } = self;
        urgent.is_empty() && holds.is_empty() && self.reserved_for.is_none()
    }

    /// Marks the flight as ready, if it is and was not. If so, the caller adds it to a ready list.
    pub(super) fn becomes_ready(&mut self) -> bool {
        let becomes_ready = !self.is_ready && self.batch.is_none() && !self.is_empty();
        self.is_ready |= becomes_ready;
        becomes_ready
    }

    /// Whether the flight stays in its ready list.
    pub(super) fn stays_ready(&mut self) -> bool {
        self.is_ready = self.batch.is_none() && !self.is_empty();
        self.is_ready
    }

    pub(super) fn line(&mut self, priority: Priority) -> &mut Line<T> {
        match priority {
            Priority::Urgent => &mut self.urgent,
            Priority::Hold => &mut self.holds,
        }
    }
}

impl<T> Line<T> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.orders.is_empty()
    }
}
