//! How many requests are worked on at once (`MAX_IN_FLIGHT`).
//!
//! A request has a place while work is done for it: not while its body is awaited, nor while its
//! caller waits for a payment, so that slow and patient callers take nothing from the others.

use crate::http::wire::problem::{Code, Problem};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Places for requests, up to a bound.
pub(crate) struct Places {
    taken: AtomicUsize,
    places_max: usize,
}

impl Places {
    /// So many, all free.
    pub(crate) fn new(places_max: usize) -> Self {
        Self { taken: AtomicUsize::default(), places_max }
    }

    fn take(&self) -> bool {
        let is_free = self.taken.fetch_add(1, Ordering::Relaxed) < self.places_max;
        if !is_free {
            self.give_back();
        }
        is_free
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request's place; given back when dropped.
pub(crate) struct Place<P: Deref<Target = Places>> {
    places: P,
    is_held: AtomicBool,
}

/// The place of a request that may wait for its caller; its body and its handler know it.
pub(crate) type SharedPlace = Arc<Place<Arc<Places>>>;

impl<P: Deref<Target = Places>> Place<P> {
    /// A place, if one is free.
    pub(crate) fn take(places: P) -> Option<Self> {
        places.take().then(|| Self { places, is_held: AtomicBool::new(true) })
    }

    /// Leaves it to others; more than once is as good as once.
    pub(crate) fn give_back(&self) {
        if self.is_held.swap(false, Ordering::Relaxed) {
            self.places.give_back();
        }
    }

    /// Takes one again after [`Place::give_back`]; false if none is free.
    pub(crate) fn take_again(&self) -> bool {
        // Its body and its handler are one task, so nothing comes between the two looks.
        if !self.is_held.load(Ordering::Relaxed) && self.places.take() {
            self.is_held.store(true, Ordering::Relaxed);
        }
        self.is_held.load(Ordering::Relaxed)
    }
}

impl<P: Deref<Target = Places>> Drop for Place<P> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The answer where no place is free.
pub(crate) fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "MAX_IN_FLIGHT requests are being worked on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_once_and_left_to_others_meanwhile() {
        let places = Places::new(1);
        let place = Place::take(&places).expect("free");
        assert!(Place::take(&places).is_none() && place.take_again());
        place.give_back();
        place.give_back();
        let other = Place::take(&places).expect("given back");
        assert!(!place.take_again() && Place::take(&places).is_none());
        drop(other);
        assert!(place.take_again());
        drop(place);
        assert_eq!(places.taken.load(Ordering::Relaxed), 0);
    }
}
