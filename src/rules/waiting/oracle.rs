//! Who is promoted, told by a flight's history alone: the waiting list's policy a second time, slow and plain.
//!
//! It keeps no count and no mark, only a diary of what happened. Each question is answered from the whole diary:
//! how many seats are free, who waits, how often a party was overtaken. Seats are given away party by party, each
//! time from the head of the line. The policy must agree with it.
//!
//! It takes the commands of one flight in the order of the flight's versions. Names begin at `airline_booking`, so
//! that the integration tests can include this file as well.

use airline_booking::domain::{SeatCount, Timestamp};
use airline_booking::rules::waiting::Terms;

/// A line of the diary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    /// A party joined the line.
    Joined(i64, SeatCount),
    /// The party takes the flight's price, or no longer does.
    Priced(i64, bool),
    /// A party left the line without seats.
    Left(i64),
    /// A party got its seats.
    Served(i64, SeatCount),
    /// A new hold got seats.
    Held(SeatCount),
    /// Seats became free, or were taken by other ways than a hold if negative.
    Freed(SeatCount),
    /// Seats began to gather for a party.
    Kept(i64, Timestamp),
    /// The departure is at this time.
    Departs(Timestamp),
}

/// What happens to the next free seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The party gets its seats.
    Serve(i64, SeatCount),
    /// They gather for the party.
    Keep(i64),
    /// They are free for new holds.
    Nobody,
}

/// The history of one flight's line.
#[derive(Debug, Clone)]
pub struct Oracle {
    terms: Terms,
    diary: Vec<Fact>,
}

impl Oracle {
    /// A flight with `free` seats and no line.
    pub fn new(terms: Terms, free: SeatCount, departs_at: Timestamp) -> Self {
        Self { terms, diary: vec![Fact::Freed(free), Fact::Departs(departs_at)] }
    }

    /// A party joined; does it take seats at the price of now?
    pub fn joined(&mut self, id: i64, seats: SeatCount, takes_price: bool) {
        self.diary.extend([Fact::Joined(id, seats), Fact::Priced(id, takes_price)]);
    }

    /// A party takes the flight's new price, or does not.
    pub fn priced(&mut self, id: i64, takes_price: bool) {
        self.diary.push(Fact::Priced(id, takes_price));
    }

    /// A party left the line without seats, or its entry ended.
    pub fn left(&mut self, id: i64) {
        self.diary.push(Fact::Left(id));
    }

    /// Seats became free; negative: fewer are on sale.
    pub fn freed(&mut self, seats: SeatCount) {
        self.diary.push(Fact::Freed(seats));
    }

    /// The departure moved.
    pub fn departs(&mut self, at: Timestamp) {
        self.diary.push(Fact::Departs(at));
    }

    /// A new hold got seats.
    ///
    /// # Errors
    ///
    /// Those in line should have had them.
    pub fn held(&mut self, seats: SeatCount, now: Timestamp) -> Result<(), String> {
        let may_hold = self.may_hold(seats, now);
        self.diary.push(Fact::Held(seats));
        if may_hold { Ok(()) } else { Err(format!("a hold got {seats} seats of those in line")) }
    }

    /// The line was served. Returns who got seats, in this order.
    pub fn promoted(&mut self, now: Timestamp) -> Vec<i64> {
        let mut promoted = Vec::new();
        loop {
            match self.next(now) {
                Next::Serve(id, seats) => {
                    promoted.push(id);
                    self.diary.push(Fact::Served(id, seats));
                }
                Next::Keep(id) => {
                    if self.kept_since(id).is_none() {
                        self.diary.push(Fact::Kept(id, now));
                    }
                    return promoted;
                }
                Next::Nobody => return promoted,
            }
        }
    }

    /// Whether a new hold would get seats if the line were served first.
    pub fn may_hold(&self, seats: SeatCount, now: Timestamp) -> bool {
        let mut served = self.clone();
        served.promoted(now);
        seats <= served.free() && served.next(now) == Next::Nobody
    }

    /// Whether those in line would get seats now.
    pub fn would_promote(&self, now: Timestamp) -> bool {
        matches!(self.next(now), Next::Serve(..))
    }

    /// The party for which seats gather, and until when.
    pub fn gathers(&self, now: Timestamp) -> Option<(i64, Timestamp)> {
        match self.next(now) {
            Next::Keep(id) => Some((id, self.kept_until(id, now))),
            Next::Serve(..) | Next::Nobody => None,
        }
    }

    /// The free seats.
    pub fn free(&self) -> SeatCount {
        let moved = self.diary.iter().map(|fact| match fact {
            Fact::Freed(seats) => *seats,
            Fact::Held(seats) | Fact::Served(_, seats) => -seats,
            _ => 0,
        });
        moved.sum()
    }

    /// How often a party was overtaken while it took the price.
    pub fn overtaken(&self, id: i64) -> i32 {
        let (mut times, mut takes_price) = (0, false);
        for fact in &self.diary {
            match fact {
                Fact::Priced(of, takes) if *of == id => takes_price = *takes,
                Fact::Held(_) if takes_price => times += 1,
                Fact::Served(other, _) if takes_price && *other > id => times += 1,
                _ => {}
            }
        }
        times
    }

    fn next(&self, now: Timestamp) -> Next {
        let free = self.free();
        let wanting = self.wanting();
        let (fitting, others): (Vec<_>, Vec<_>) =
            wanting.into_iter().partition(|(_, seats)| *seats <= free);
        let served = fitting.into_iter().min();
        let kept = others.into_iter().filter(|(id, _)| free > 0 && self.is_kept_for(*id, now));
        match (served, kept.map(|(id, _)| id).min()) {
            (Some((id, _)), Some(kept)) if kept < id => Next::Keep(kept),
            (Some((id, seats)), _) => Next::Serve(id, seats),
            (None, Some(kept)) => Next::Keep(kept),
            (None, None) => Next::Nobody,
        }
    }

    /// Those in line who take the price.
    fn wanting(&self) -> Vec<(i64, SeatCount)> {
        let mut wanting = Vec::new();
        for (at, fact) in self.diary.iter().enumerate() {
            if let Fact::Joined(id, seats) = *fact {
                let later = &self.diary[at..];
                let is_over =
                    |f: &Fact| matches!(f, Fact::Left(of) | Fact::Served(of, _) if *of == id);
                let takes = |f: &Fact| match f {
                    Fact::Priced(of, takes) if *of == id => Some(*takes),
                    _ => None,
                };
                if !later.iter().any(is_over) && later.iter().rev().find_map(takes) == Some(true) {
                    wanting.push((id, seats));
                }
            }
        }
        wanting
    }

    /// Whether the party was overtaken too often, and has time left.
    fn is_kept_for(&self, id: i64, now: Timestamp) -> bool {
        self.overtaken(id) >= self.terms.overtakes_max && now < self.kept_until(id, now)
    }

    fn kept_until(&self, id: i64, now: Timestamp) -> Timestamp {
        let departs = |fact: &Fact| match fact {
            Fact::Departs(at) => Some(*at),
            _ => None,
        };
        let departs_at = self.diary.iter().rev().find_map(departs).expect("the first has one");
        let end = self.kept_since(id).unwrap_or(now) + self.terms.gather_for;
        end.min(departs_at - self.terms.release_before)
    }

    fn kept_since(&self, id: i64) -> Option<Timestamp> {
        self.diary.iter().find_map(|fact| match fact {
            Fact::Kept(of, at) if *of == id => Some(*at),
            _ => None,
        })
    }
}
