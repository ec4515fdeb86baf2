//! Fare rules: what a cancellation costs, as data. The booking keeps the version that it was sold with.
//!
//! Amounts and instants come in, a fee with the row that decides it goes out.

mod book;
mod checks;
mod name;
mod quote;
mod shipped;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod histories;

use super::{Money, Timestamp};
use chrono::Duration;
use serde::Serialize;
use std::sync::Arc;

pub use book::FareBook;
pub use checks::FareRowText;
pub use name::FareName;
pub use quote::{Part, Quote};

/// A row of fare rules. It matches if all conditions that it has hold; a row without any always matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "FareRowText")]
pub struct FareRow {
    /// The booking was made at most so long ago.
    pub booked_within: Option<Duration>,
    /// When the booking was made, departure was at least so far away.
    pub departs_in_at_booking: Option<Duration>,
    /// Departure is at least so far away now.
    pub departs_in: Option<Duration>,
    /// Percent of price without taxes, 0 to 100.
    pub fee_percent: i32,
    /// Amount for each passenger, beside the percentage; not negative.
    pub fee_fixed: Money,
}

/// A version of named fare rules; [`FareRules::checked`] checks them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FareRules {
    /// 1 to 40 of `a`–`z`, `0`–`9` and `-`.
    pub name: Arc<str>,
    /// Starts at 1 and grows by one with each change.
    pub version: i64,
    /// At most [`FareRules::ROWS_MAX`]; the first that matches decides.
    #[serde(rename = "rules")]
    pub rows: Vec<FareRow>,
}

/// What was sold: one seat for [`FareRules::fee`], all seats of a booking for [`FareRules::quote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sold {
    /// Price, taxes included.
    pub price: Money,
    /// Taxes in the price, 0 to the price: they always come back.
    pub taxes: Money,
    /// When the booking was made.
    pub booked_at: Timestamp,
    /// Departure.
    pub departs_at: Timestamp,
}

/// What the cancellation of one passenger costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    /// 0 to price without taxes.
    pub amount: Money,
    /// What decides: `standard/2` for a second row, `standard/none` if no row matches, `no-show` after departure.
    pub rule: String,
}

impl FareRow {
    /// Whether its conditions hold, limits included.
    fn matches(&self, sold: &Sold, now: Timestamp) -> bool {
        let since_booking = now - sold.booked_at;
        let at_booking = sold.departs_at - sold.booked_at;
        let until_departure = sold.departs_at - now;
        self.booked_within.is_none_or(|limit| since_booking <= limit)
            && self.departs_in_at_booking.is_none_or(|limit| at_booking >= limit)
            && self.departs_in.is_none_or(|limit| until_departure >= limit)
    }

    /// The fee of one passenger, whose price without taxes is `base`.
    fn fee_of(&self, base: Money) -> Money {
        let fee = base.percent(self.fee_percent).plus(self.fee_fixed);
        fee.map_or(base, |fee| fee.min(base))
    }
}

impl Sold {
    /// Price without taxes.
    fn base(&self) -> Money {
        let zero = self.price.less(self.price);
        zero.max(self.price.less(self.taxes))
    }
}

impl FareRules {
    /// The fee of one passenger who cancels at `now`: the percentage of price without taxes, rounded half up to a
    /// minor unit, and the fixed amount, together at most price without taxes, which is the fee if no row matches.
    ///
    /// `has_departed`, as [`Flight::has_departed`](super::Flight::has_departed) says: taxes alone come back.
    pub fn fee(&self, sold: &Sold, now: Timestamp, has_departed: bool) -> Fee {
        let (row, rule) = self.deciding(sold, now, has_departed);
        let base = sold.base();
        Fee { amount: row.map_or(base, |row| row.fee_of(base)), rule }
    }

    /// The row that decides and its name. Without a row the fee is all of price without taxes.
    fn deciding(
        &self,
        sold: &Sold,
        now: Timestamp,
        has_departed: bool,
    ) -> (Option<&FareRow>, String) {
        if has_departed {
            return (None, "no-show".to_owned());
        }
        match self.rows.iter().position(|row| row.matches(sold, now)) {
            Some(at) => (Some(&self.rows[at]), format!("{}/{}", self.name, at + 1)),
            None => (None, format!("{}/none", self.name)),
        }
    }
}
