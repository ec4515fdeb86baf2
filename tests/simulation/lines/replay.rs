//! A flight's waiting list as its history tells it, with the oracle of the policy. The simulation and the test of
//! killed replicas replay their histories with it.

use super::Oracle;
use airline_booking::domain::{Money, SeatCount, Timestamp};
use airline_booking::rules::waiting::Terms;
use std::collections::BTreeMap;

/// A flight's line up to a moment of its history.
#[derive(Debug, Clone)]
pub struct Replay {
    oracle: Oracle,
    /// The highest price of each party that waits, by place.
    waiting: BTreeMap<i64, Option<Money>>,
    /// When it was served last.
    served_at: Timestamp,
}

impl Replay {
    /// A flight with these free seats that nobody waits for.
    pub fn of(terms: Terms, free: SeatCount, departs_at: Timestamp, created_at: Timestamp) -> Self {
        Self {
            oracle: Oracle::new(terms, free, departs_at),
            waiting: BTreeMap::new(),
            served_at: created_at,
        }
    }

    /// A party joins the line of a flight with this price.
    pub fn join(&mut self, place: i64, seats: SeatCount, max_price: Option<Money>, price: Money) {
        self.oracle.joined(place, seats, takes(max_price, price));
        self.waiting.insert(place, max_price);
    }

    /// A party leaves the line without seats.
    pub fn leave(&mut self, place: i64) {
        if self.waiting.remove(&place).is_some() {
            self.oracle.left(place);
        }
    }

    /// A new hold gets seats.
    ///
    /// # Errors
    ///
    /// Those in line should have had them.
    pub fn hold(&mut self, seats: SeatCount, at: Timestamp) -> Result<(), String> {
        // Clocks are off: marks of a later time stand.
        self.oracle.held(seats, at.max(self.served_at))
    }

    /// Seats become free; negative: fewer are on sale.
    pub fn free(&mut self, seats: SeatCount) {
        if seats != 0 {
            self.oracle.freed(seats);
        }
    }

    /// The departure moves.
    pub fn depart(&mut self, at: Timestamp) {
        self.oracle.departs(at);
    }

    /// The line is served at this price of a seat. Returns the places of those whom the oracle gives seats, ascending.
    pub fn serve(&mut self, price: Money, at: Timestamp) -> Vec<i64> {
        for (place, max_price) in &self.waiting {
            self.oracle.priced(*place, takes(*max_price, price));
        }
        let mut served = self.oracle.promoted(at);
        served.sort_unstable();
        self.waiting.retain(|place, _| !served.contains(place));
        self.served_at = at;
        served
    }

    /// Compares what the flight's row says after a walk.
    pub fn check_marks(
        &self,
        free: SeatCount,
        gathers_until: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), String> {
        let expected = self.oracle.free();
        if free != expected {
            return Err(format!("{free} seats are free, and not {expected}"));
        }
        let expected = self.oracle.gathers(at).map(|(_, until)| until);
        if gathers_until != expected {
            return Err(format!("gathers until {gathers_until:?}, and not {expected:?}"));
        }
        Ok(())
    }

    /// Compares how often a party was overtaken.
    pub fn check_count(&self, place: i64, counted: i32) -> Result<(), String> {
        let times = self.oracle.overtaken(place);
        if counted == times {
            return Ok(());
        }
        Err(format!("the party at {place} was overtaken {times} times, not {counted}"))
    }

    /// Whether those in line would get seats at this time.
    pub fn owes_seats(&self, at: Timestamp) -> bool {
        self.oracle.would_promote(at.max(self.served_at))
    }
}

fn takes(max_price: Option<Money>, price: Money) -> bool {
    max_price.is_none_or(|max| price <= max)
}
