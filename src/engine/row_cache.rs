//! A cache of rows as this process last wrote them, so that most batches read nothing.
//!
//! Cached rows may be stale: a commit checks every row against the one it was decided on, and a command
//! that would be answered without a commit is decided again on loaded rows. The cache is bounded; evicted
//! rows are loaded.

use crate::domain::{
    Booking, BookingStatus, Flight, FlightId, FlightIds, Order, PaymentKind, PaymentReference,
    SeatCount,
};
use crate::rules::{Changes, Holder, State, Wanted, moved_by};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum cached flights.
const FLIGHTS_MAX: usize = 16_384;

/// Maximum cached pending orders: about 10 MiB.
const ORDERS_MAX: usize = 16_384;

/// Maximum cached counts of pending seats, by user and flight.
const HOLDERS_MAX: usize = 16_384;

/// How long a flight is cached. A manual SQL change that does not bump `version` goes unnoticed for at
/// most this long.
const FLIGHT_TTL: Duration = Duration::from_secs(1);

/// Number of batches that load their flights after another process has changed a cached one: where
/// replicas share flights, a cached flight mostly wastes a commit.
const BYPASSED_BATCHES: u32 = 256;

/// The cache. A batch removes the rows it uses. No other batch of this process needs them, because two
/// running batches never have the same flight.
#[derive(Default)]
pub(crate) struct RowCache(Mutex<Rows>);

struct Rows {
    flights: Recent<FlightId, (Instant, Flight)>,
    orders: Recent<PaymentReference, Order>,
    /// Seats that users hold unpaid; commits of other processes are missing.
    pending: Recent<Holder, SeatCount>,
    /// Batches that still bypass cached flights.
    bypassed: u32,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            flights: Recent::of(FLIGHTS_MAX),
            orders: Recent::of(ORDERS_MAX),
            pending: Recent::of(HOLDERS_MAX),
            bypassed: 0,
        }
    }
}

impl RowCache {
    /// The flights of a payment whose order is pending.
    pub(crate) fn flights_of(&self, payment: &PaymentReference) -> Option<FlightIds> {
        let rows = self.rows();
        let order = rows.orders.get(payment)?;
        Some(order.bookings.iter().map(|booking| booking.flight_id).collect())
    }

    /// Moves wanted rows from the cache to the result, and removes them from `wanted`.
    pub(crate) fn take(&self, wanted: &mut Wanted) -> State {
        let mut rows = self.rows();
        let mut state = State::default();
        if rows.bypassed > 0 {
            rows.bypassed -= 1;
        } else {
            let flights = &mut rows.flights;
            wanted.flights.retain(|id| match flights.take(id) {
                Some((since, flight)) if since.elapsed() < FLIGHT_TTL => {
                    state.flights.insert(*id, flight);
                    false
                }
                _ => true,
            });
        }
        wanted.payments.retain(|reference| match rows.orders.take(reference) {
            Some(Order { bookings, payment }) => {
                bookings.into_iter().for_each(|booking| state.add_booking(booking));
                state.add_payment(payment);
                false
            }
            None => true,
        });
        // A hold does not load these counts: its commit counts the seats anyway.
        for (holder, _) in mem::take(&mut wanted.pending) {
            if let Some(seats) = rows.pending.get(&holder) {
                state.pending.insert(holder, *seats);
            }
        }
        state
    }

    /// Caches counts of pending seats that the store has loaded.
    pub(crate) fn put_pending(&self, loaded: &State) {
        if !loaded.pending.is_empty() {
            let mut rows = self.rows();
            for (holder, seats) in &loaded.pending {
                rows.pending.put(*holder, *seats);
            }
        }
    }

    /// Caches the rows that commands have written.
    pub(crate) fn put<'a>(&self, written: impl Iterator<Item = &'a Changes>) {
        let mut rows = self.rows();
        let now = Instant::now();
        for changes in written {
            for change in &changes.flights {
                rows.flights.put(change.after.id, (now, change.after.clone()));
            }
            if let Some(order) = pending_order(changes) {
                rows.orders.put(order.payment.reference, order);
            }
            for (holder, seats) in moved_by(changes) {
                let known = rows.pending.get(&holder).copied();
                if known.is_some() || changes.pending_max.is_some() {
                    rows.pending.put(holder, known.unwrap_or_default() + seats);
                }
            }
        }
    }

    /// Bypasses cached flights for a while, since another process has changed one.
    pub(crate) fn bypass_flights(&self) {
        self.rows().bypassed = BYPASSED_BATCHES;
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // A panic may have left the rows inconsistent: start with an empty cache.
            let mut rows = poisoned.into_inner();
            *rows = Rows::default();
            self.0.clear_poison();
            rows
        })
    }
}

/// The order that these changes make, without passengers. Only a hold leaves bookings pending, and it makes
/// all of them.
fn pending_order(changes: &Changes) -> Option<Order> {
    let is_pending = |status| status == BookingStatus::Pending;
    let is_new = changes.bookings.iter().all(|change| is_pending(change.after.status));
    // A promotion may make several orders.
    let payment = changes.payments.first().filter(|_| is_new && changes.payments.len() == 1)?;
    // An attempt to pay it later changes no booking, so the cache would not learn of it.
    if payment.after.kind == PaymentKind::Later {
        return None;
    }
    let bookings = changes.bookings.iter().map(|change| change.after.without_passengers());
    let mut bookings: SmallVec<[Booking; 1]> = bookings.collect();
    if planted!(row_cache_lacks_a_booking) && bookings.len() > 1 {
        bookings.pop();
        bookings.iter_mut().for_each(|booking| booking.segments -= 1);
    }
    Order::of(bookings, payment.after.clone())
}

/// A bounded map that drops its older half when it is full.
struct Recent<K, V> {
    new: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    fn of(max: usize) -> Self {
        Self { new: HashMap::new(), old: HashMap::new(), half: max / 2 }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.new.get(key).or_else(|| self.old.get(key))
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.new.remove(key).or(old)
    }

    fn put(&mut self, key: K, value: V) {
        if self.new.len() >= self.half {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_entries_are_found_and_the_number_of_entries_is_bounded() {
        let mut recent = Recent::of(8);
        for key in 0..100 {
            recent.put(key, key);
            assert_eq!(recent.get(&key), Some(&key));
            assert!(recent.new.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get(&97), Some(&97));
        assert_eq!(recent.get(&9), None);
    }

    #[test]
    fn taking_an_entry_removes_older_entries_of_its_key_too() {
        let mut recent = Recent::of(4);
        recent.put(1, "older");
        recent.put(2, "");
        recent.put(1, "newer");
        assert_eq!(recent.take(&1), Some("newer"));
        assert_eq!(recent.take(&1), None);
    }
}
