//! The price of cancelling some passengers of a booking, exact to the minor unit.

use super::{FareRow, FareRules, Sold};
use crate::domain::{Money, SeatCount, Timestamp};

/// How many of a booking's passengers cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Seats that the booking has left, at least 1.
    pub seats: SeatCount,
    /// Passengers who cancel, 1 to `seats`.
    pub cancelled: SeatCount,
}

/// What cancelling a part of a booking gives back: `refund + fee == price`, and taxes are part of `refund`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Price of the cancelled seats. The booking keeps the rest.
    pub price: Money,
    /// Taxes in `price`. The booking keeps the rest.
    pub taxes: Money,
    /// What is kept of `price`, at most `price - taxes`.
    pub fee: Money,
    /// What comes back.
    pub refund: Money,
    /// What decides the fee, as in [`Fee`](super::Fee).
    pub rule: String,
}

impl FareRules {
    /// What cancelling a part of a booking at `now` gives back. `sold` has the price and taxes of all seats that the
    /// booking has left.
    ///
    /// A seat costs the price over the seats, rounded down to a minor unit; the last passengers get the rest, so
    /// parts add up to the booking's price in whatever order passengers cancel. The fee is that of one passenger
    /// times the passengers.
    ///
    /// `has_departed` as in [`FareRules::fee`].
    pub fn quote(&self, sold: &Sold, part: Part, now: Timestamp, has_departed: bool) -> Quote {
        let (row, rule) = self.deciding(sold, now, has_departed);
        let cancelled = sold.of(part);
        let base = cancelled.base();
        let fee = match row {
            // All is kept, also what is left over by the division.
            None | Some(FareRow { fee_percent: 100, .. }) => base,
            Some(row) => {
                let fee = row.fee_of(sold.of_one(part.seats).base()).times(part.cancelled);
                fee.map_or(base, |fee| fee.min(base))
            }
        };
        let Sold { price, taxes, .. } = cancelled;
        Quote { price, taxes, fee, refund: price.less(fee), rule }
    }
}

impl Sold {
    /// One of `seats` seats, its amounts rounded down.
    fn of_one(&self, seats: SeatCount) -> Self {
        Self { price: self.price.per(seats), taxes: self.taxes.per(seats), ..*self }
    }

    /// The seats of a part.
    fn of(&self, part: Part) -> Self {
        if part.cancelled >= part.seats {
            return *self;
        }
        let seat = self.of_one(part.seats);
        let price = seat.price.times(part.cancelled).unwrap_or(self.price);
        let taxes = seat.taxes.times(part.cancelled).unwrap_or(self.taxes);
        // Rounded down, the taxes that are left can exceed the price that is left: 2 of 3 with three seats.
        let least = self.taxes.less(self.price.less(price));
        Self { price, taxes: taxes.max(least), ..*self }
    }
}
