//! The walk along the line, which gives free seats to those who wait.

use super::{Line, Waiting};
use crate::domain::{SeatCount, Timestamp};
use chrono::Duration;

/// The operator's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How often a party is overtaken before seats gather for it (`WAITLIST_MAX_OVERTAKES`). 0: nobody is overtaken
    /// before seats have gathered for it.
    pub overtakes_max: i32,
    /// How long seats gather for a party at most (`WAITLIST_GATHER_FOR`). 0: they never do.
    pub gather_for: Duration,
    /// How long before departure seats no longer gather (`WAITLIST_RELEASE_BEFORE`).
    pub release_before: Duration,
}

/// What a walk decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Entries that get their seats, in this order.
    pub promoted: Vec<i64>,
    /// The other entries whose row changes, as they are now, in the order of the line.
    pub changed: Vec<Waiting>,
    /// The entry that seats gather for.
    pub gathers_for: Option<i64>,
    /// The flight's line without those promoted. No walk is due at `now`.
    pub line: Line,
}

/// Gives the `free` seats to those in line. `parties` are all who wait, by id.
///
/// In the order of the line, a party that fits gets its seats. One that does not is passed over, and counted each
/// time that one behind it gets seats. The walk stops as soon as a party that it has passed over was overtaken
/// `overtakes_max` times: seats gather for it, so nobody behind it and no new hold gets any. The party whose seats
/// raised the count to the limit keeps them. If that raises several counts, seats gather for the first.
///
/// Seats gather for at most `gather_for`, once for each party, and not in the last `release_before` before
/// departure; after that the party is passed over without limit, and still counted. They begin to gather only
/// while a seat is free: with none, nothing is kept from anybody. When as many seats are free as the party needs,
/// it is promoted, and the walk goes on behind it. Parties before it are served first, as ever.
///
/// - Several parties at the limit are gathered for one after the other, each for its own `gather_for`.
/// - A party that no number of seats on this flight serves delays the others once, for `gather_for`.
/// - If the departure moves away, seats may gather for the rest of a party's time; its end never moves.
/// - A second walk at the same time changes nothing, so a walk more than necessary does no harm.
pub fn walk(
    free: SeatCount,
    line: &Line,
    parties: &[Waiting],
    terms: &Terms,
    departs_at: Timestamp,
    now: Timestamp,
) -> Walked {
    let release_at = departs_at.checked_sub_signed(terms.release_before);
    let mut walk = Walk {
        free,
        passed: line.passed,
        terms,
        release_at: release_at.unwrap_or(Timestamp::MIN_UTC),
        now,
        after: parties.iter().map(|party| party.at_price(line.passed)).collect(),
        passed_over: Vec::new(),
        promoted: Vec::new(),
    };
    let gathering = walk.go();
    let is_promoted = |party: &Waiting| walk.promoted.binary_search(&party.id).is_ok();
    let left = || walk.after.iter().zip(parties).filter(|(after, _)| !is_promoted(after));
    let line = Line {
        waiting: left().count() as i32,
        serve_due: false,
        gathers_until: gathering.map(|(_, until)| until),
        passed: line.passed,
        passed_max: left().filter_map(|(after, _)| walk.passed_max(after)).min(),
    };
    Walked {
        changed: left().filter(|(after, was)| after != was).map(|(after, _)| *after).collect(),
        gathers_for: gathering.map(|(id, _)| id),
        line,
        promoted: walk.promoted,
    }
}

/// A walk on its way.
struct Walk<'a> {
    /// Seats that are still free.
    free: SeatCount,
    passed: i32,
    terms: &'a Terms,
    /// From when on no seats gather.
    release_at: Timestamp,
    now: Timestamp,
    /// All parties, as the walk leaves them.
    after: Vec<Waiting>,
    /// Those that did not fit, by their place in line.
    passed_over: Vec<usize>,
    promoted: Vec<i64>,
}

impl Walk<'_> {
    /// Walks until no seat is free, seats gather, or the line ends. Returns the party that they gather for, and
    /// until when.
    fn go(&mut self) -> Option<(i64, Timestamp)> {
        for at in 0..self.after.len() {
            if self.free <= 0 {
                return None;
            }
            if !self.after[at].takes_price {
                continue;
            }
            // The counts of all those passed over have grown, or one is new.
            let from = if self.after[at].seats <= self.free {
                self.promote(at);
                0
            } else {
                self.passed_over.push(at);
                self.passed_over.len() - 1
            };
            if let Some(gathering) = self.gather(from) {
                return Some(gathering);
            }
        }
        None
    }

    /// Gives a party its seats, and counts that for those passed over.
    fn promote(&mut self, at: usize) {
        self.free -= self.after[at].seats;
        self.promoted.push(self.after[at].id);
        for &passed_over in &self.passed_over {
            self.after[passed_over].overtaken += 1;
        }
    }

    /// Lets free seats gather for the first of those passed over, without the first `from`, that was overtaken too
    /// often and has time left.
    fn gather(&mut self, from: usize) -> Option<(i64, Timestamp)> {
        if self.free <= 0 {
            return None;
        }
        let may_gather = |at: &&usize| {
            let party = &self.after[**at];
            self.is_at_limit(party) && self.ends_of(party).1 > self.now
        };
        let first = *self.passed_over[from..].iter().find(may_gather)?;
        let (own_end, until) = self.ends_of(&self.after[first]);
        self.after[first].gathers_until = Some(own_end);
        Some((self.after[first].id, until))
    }

    fn is_at_limit(&self, party: &Waiting) -> bool {
        party.overtaken_in_all(self.passed) >= self.terms.overtakes_max
    }

    /// When the party's own time ends if seats gather for it now, and when they stop: then or before departure.
    fn ends_of(&self, party: &Waiting) -> (Timestamp, Timestamp) {
        let from_now = || self.now.checked_add_signed(self.terms.gather_for);
        let own_end = party.gathers_until.or_else(from_now).unwrap_or(Timestamp::MAX_UTC);
        (own_end, own_end.min(self.release_at))
    }

    /// The flight's `passed` at which seats would gather for the party. `None` if they never do, and if it is at
    /// its limit: then they gather, or no seat is free, and the one that frees a seat makes a walk due.
    fn passed_max(&self, party: &Waiting) -> Option<i32> {
        let may_come = party.takes_price && self.ends_of(party).1 > self.now;
        let left = self.terms.overtakes_max.saturating_sub(party.overtaken_in_all(self.passed));
        (may_come && left > 0).then(|| self.passed.saturating_add(left))
    }
}
