//! The fare rules that every installation has.

use super::{FareRow, FareRules};
use crate::domain::{Currency, Money};
use chrono::Duration;

impl FareRules {
    /// The name of the rules of a flight that names none: [`FareRules::free`].
    pub const DEFAULT: &str = "free";

    /// Version 1 of the rules that every installation has, `free` first.
    ///
    /// - `free`: all comes back until departure.
    /// - `flexible`: the fee is 10 % until 24 hours before departure, then 50 %.
    /// - `standard`: the fee is 25 % until 7 days before departure, 50 % until 24 hours before, then all.
    /// - `in-2026`: no fee in the first 48 hours if departure was at least 7 days away at booking, else the base fare,
    ///   the most that India's rules of 2026 allow.
    pub fn shipped(currency: Currency) -> [Self; 4] {
        let row = |percent| FareRow::of_percent(percent, currency);
        let until = |before, percent| FareRow { departs_in: Some(before), ..row(percent) };
        let look_in = FareRow {
            booked_within: Some(Duration::hours(48)),
            departs_in_at_booking: Some(Duration::days(7)),
            ..row(0)
        };
        let (day, week) = (Duration::hours(24), Duration::days(7));
        [
            Self::free(currency),
            Self::first("flexible", vec![until(day, 10), row(50)]),
            Self::first("standard", vec![until(week, 25), until(day, 50)]),
            Self::first("in-2026", vec![look_in]),
        ]
    }

    /// Version 1 of shipped rules, by name.
    pub fn shipped_as(name: &str, currency: Currency) -> Option<Self> {
        Self::shipped(currency).into_iter().find(|rules| &*rules.name == name)
    }

    /// Whether every installation has rules of this name.
    pub fn is_shipped(name: &str) -> bool {
        [Self::DEFAULT, "flexible", "standard", "in-2026"].contains(&name)
    }

    /// The default rules. Their row has no condition, so a flight whose departure never counts is free for ever.
    pub fn free(currency: Currency) -> Self {
        Self::first(Self::DEFAULT, vec![FareRow::of_percent(0, currency)])
    }

    fn first(name: &str, rows: Vec<FareRow>) -> Self {
        Self { name: name.into(), version: 1, rows }
    }
}

impl FareRow {
    /// A row without conditions.
    fn of_percent(fee_percent: i32, currency: Currency) -> Self {
        Self {
            booked_within: None,
            departs_in_at_booking: None,
            departs_in: None,
            fee_percent,
            fee_fixed: Money::whole(0, currency),
        }
    }
}
