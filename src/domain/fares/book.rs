//! Versions of fare rules.

use super::{FareName, FareRules};
use crate::domain::{Booking, Currency, Timestamp};
use std::collections::HashMap;

/// Versions of fare rules, by name, each with the time from which bookings are sold with it. The shipped rules are the
/// first versions of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FareBook(HashMap<FareName, Vec<(Timestamp, FareRules)>>);

impl FareBook {
    /// Adds a version.
    pub fn add(&mut self, since: Timestamp, rules: FareRules) {
        let versions = self.0.entry(FareName::from(rules.name.clone())).or_default();
        if versions.iter().all(|(_, known)| known.version != rules.version) {
            versions.push((since, rules));
            versions.sort_by_key(|(_, rules)| rules.version);
        }
    }

    /// Adds the versions of another book.
    pub fn extend(&mut self, other: Self) {
        for (since, rules) in other.0.into_values().flatten() {
            self.add(since, rules);
        }
    }

    /// The rules that a booking was sold with: the last version of their name from before the sale, with fees in the
    /// currency of the price.
    pub fn of(&self, booking: &Booking, currency: Currency) -> FareRules {
        let versions = self.0.get(&booking.fare_rules).map(Vec::as_slice).unwrap_or_default();
        let sold = versions.iter().rev().find(|(since, _)| *since <= booking.sale());
        let shipped = || FareRules::shipped_as(booking.fare_rules.as_str(), currency);
        // A first version by a clock that was ahead of the booking's.
        let first = || versions.first().map(|(_, rules)| rules.clone());
        let sold = sold.map(|(_, rules)| rules.clone()).or_else(shipped).or_else(first);
        sold.unwrap_or_else(|| FareRules::free(currency))
    }
}
