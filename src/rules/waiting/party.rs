//! A party that waits.

use super::Line;
use crate::domain::{SeatCount, Timestamp};

/// An active entry of a flight's waiting list. The order of the ids is the order of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Id of the entry. It grows with the time of joining.
    pub id: i64,
    /// Seats of the party, 1 to 9. It gets all of them or none.
    pub seats: SeatCount,
    /// Whether the party takes seats at the flight's price of now, as its `max_price` says.
    ///
    /// A party that does not stands aside: a walk neither serves nor counts it, and no seats gather for it. A
    /// change of the price makes a walk due, so this changes only at walks.
    pub takes_price: bool,
    /// How often the party was overtaken, without the new holds since [`passed_before`](Self::passed_before).
    pub overtaken: i32,
    /// [`Line::passed`] from which new holds count for the party: its value at the joining, so that earlier holds
    /// don't count. `None` while the party stands aside.
    ///
    /// New holds are therefore counted on the flight's row alone; they write to no entry.
    pub passed_before: Option<i32>,
    /// When seats have gathered for the party for `gather_for`; `None`: they never began to.
    ///
    /// Set once, when they begin, and never moved: seats don't gather for the party a second time. The time runs on
    /// while they don't gather, as when free seats are blocked again or the party stands aside.
    pub gathers_until: Option<Timestamp>,
}

impl Waiting {
    /// The entry of a party that joins the line. [`may_join`](super::may_join) says whether it may.
    pub fn joined(id: i64, seats: SeatCount, takes_price: bool, line: &Line) -> Self {
        let passed_before = takes_price.then_some(line.passed);
        Self { id, seats, takes_price, overtaken: 0, passed_before, gathers_until: None }
    }

    /// How often the party was overtaken: the number of parties behind it and of new holds that got seats while it
    /// waited and did not fit. `passed` is the flight's [`Line::passed`].
    pub fn overtaken_in_all(&self, passed: i32) -> i32 {
        self.overtaken + self.passed_before.map_or(0, |before| passed - before)
    }

    /// The entry at the price of now: holds count for it while it takes that price.
    pub(super) fn at_price(self, passed: i32) -> Self {
        if self.takes_price == self.passed_before.is_some() {
            return self;
        }
        let passed_before = self.takes_price.then_some(passed);
        Self { overtaken: self.overtaken_in_all(passed), passed_before, ..self }
    }
}
