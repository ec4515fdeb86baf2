//! Rows as this process last wrote them, so that most batches read nothing.
//!
//! Never the truth: a commit checks every row against what it was decided on, and what would be
//! answered without a commit is decided again on loaded rows. Bounded: what falls out is loaded.

use crate::domain::{
    Booking, BookingStatus, Flight, FlightId, Payment, PaymentReference, SeatCount,
};
use crate::rules::{Changes, Holder, State, Wanted, moved_by};
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Flights that are remembered at most.
const FLIGHTS_MAX: usize = 16_384;

/// Pending bookings that are remembered at most, each with its payment: some 10 MiB.
const BOOKINGS_MAX: usize = 16_384;

/// Users on flights whose pending seats are remembered at most.
const HOLDERS_MAX: usize = 16_384;

/// How long a flight is remembered. Whoever changes one by hand, and not its version, is heard by
/// then.
const FLIGHT_FOR: Duration = Duration::from_secs(1);

/// Batches that load their flights after one was found that another process had changed: where
/// replicas share the flights, a remembered one is mostly a wasted commit.
const WARY_FOR: u32 = 256;

/// What is remembered. Batches of one process never share a flight, so what one takes, no other
/// misses.
#[derive(Default)]
pub(crate) struct RowCache(Mutex<Remembered>);

struct Remembered {
    flights: Recent<FlightId, (Instant, Flight)>,
    bookings: Recent<PaymentReference, (Booking, Payment)>,
    /// Seats that users hold unpaid, as far as this process knows.
    pending: Recent<Holder, SeatCount>,
    wary: u32,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            flights: Recent::of(FLIGHTS_MAX),
            bookings: Recent::of(BOOKINGS_MAX),
            pending: Recent::of(HOLDERS_MAX),
            wary: 0,
        }
    }
}

impl RowCache {
    /// The flight of a payment whose booking is pending.
    pub(crate) fn flight_of(&self, payment: &PaymentReference) -> Option<FlightId> {
        self.remembered().bookings.get(payment).map(|(booking, _)| booking.flight_id)
    }

    /// Takes rows out that are wanted; they are wanted no more.
    pub(crate) fn recall(&self, wanted: &mut Wanted) -> State {
        let mut remembered = self.remembered();
        let mut state = State::default();
        if remembered.wary > 0 {
            remembered.wary -= 1;
        } else {
            let flights = &mut remembered.flights;
            wanted.flights.retain(|id| match flights.take(id) {
                Some((since, flight)) if since.elapsed() < FLIGHT_FOR => {
                    state.flights.insert(*id, flight);
                    false
                }
                _ => true,
            });
        }
        wanted.payments.retain(|reference| match remembered.bookings.take(reference) {
            Some((booking, payment)) => {
                state.add_booking(booking);
                state.payments.insert(*reference, payment);
                false
            }
            None => true,
        });
        // No hold reads for this: its commit counts them in any case.
        for (holder, _) in mem::take(&mut wanted.pending) {
            if let Some(seats) = remembered.pending.get(&holder) {
                state.pending.insert(holder, *seats);
            }
        }
        state
    }

    /// Remembers pending seats as the store has counted them.
    pub(crate) fn count_pending(&self, loaded: &State) {
        if !loaded.pending.is_empty() {
            let mut remembered = self.remembered();
            for (holder, seats) in &loaded.pending {
                remembered.pending.put(*holder, *seats);
            }
        }
    }

    /// Remembers what a command has written.
    pub(crate) fn keep<'a>(&self, written: impl Iterator<Item = &'a Changes>) {
        let mut remembered = self.remembered();
        let now = Instant::now();
        for changes in written {
            if let Some(change) = &changes.flight {
                remembered.flights.put(change.after.id, (now, change.after.clone()));
            }
            if let (Some(booking), Some(payment)) = (&changes.booking, &changes.payment)
                && booking.after.status == BookingStatus::Pending
            {
                let paid = (booking.after.without_passengers(), payment.after.clone());
                remembered.bookings.put(payment.after.reference, paid);
            }
            if let Some((holder, seats)) = moved_by(changes) {
                let known = remembered.pending.get(&holder).copied();
                if known.is_some() || changes.pending_max.is_some() {
                    remembered.pending.put(holder, known.unwrap_or_default() + seats);
                }
            }
        }
    }

    /// A remembered flight was not as it is.
    pub(crate) fn be_wary(&self) {
        self.remembered().wary = WARY_FOR;
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // A panic left it half written: better nothing than that.
            let mut remembered = poisoned.into_inner();
            *remembered = Remembered::default();
            self.0.clear_poison();
            remembered
        })
    }
}

/// A bounded map that forgets its older half when it is full.
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
    fn what_was_put_last_is_found_and_no_more_than_the_bound_is_kept() {
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
    fn what_is_taken_is_gone_also_where_an_older_one_was_put() {
        let mut recent = Recent::of(4);
        recent.put(1, "older");
        recent.put(2, "");
        recent.put(1, "newer");
        assert_eq!(recent.take(&1), Some("newer"));
        assert_eq!(recent.take(&1), None);
    }
}
