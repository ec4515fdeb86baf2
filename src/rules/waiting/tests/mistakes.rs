//! Mistakes of the policy: the comparison with the oracle must find each.

use super::flight::Flight;
use crate::domain::{SeatCount, Timestamp};
use crate::rules::waiting::{Line, Terms, Waiting, Walked, walk};

/// A way to get the policy wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A walk counts no overtaking.
    WalkCountsNothing,
    /// A walk counts at most one overtaking a party.
    WalkCountsOnce,
    /// New holds are not counted.
    HoldsAreNotCounted,
    /// A party's limit is noticed only at the next walk.
    HoldsPassTheLimit,
    /// Holds from before its joining count for a party.
    EarlierHoldsCount,
    /// Holds count while a party stands aside.
    HoldsCountAside,
    /// Seats gather for a party again and again.
    GathersAgain,
    /// Seats gather twice as long.
    GathersTooLong,
    /// Seats gather until departure.
    GathersUntilDeparture,
    /// Seats never gather.
    NeverGathers,
    /// Those behind a party at its limit are served.
    WalkGoesOn,
    /// The last in line are served first.
    LastAreFirst,
    /// Those who don't take the price are served.
    PriceIsOverlooked,
    /// Holds get seats while a walk is due.
    HoldsDoNotWaitForTheWalk,
    /// Holds get seats that gather.
    HoldsTakeGatheredSeats,
    /// Holds get seats that gathered, before those who wait.
    EndOfGatheringNeedsNoWalk,
    /// A party that leaves makes no walk due.
    LeavingNeedsNoWalk,
    /// Parties join that would get seats.
    AnybodyJoins,
    /// Parties that get no seats can't join while a walk is due or seats gather.
    FreeSeatsPreventJoining,
}

impl Mistake {
    /// All of them.
    const ALL: &[Self] = &[
        Self::WalkCountsNothing,
        Self::WalkCountsOnce,
        Self::HoldsAreNotCounted,
        Self::HoldsPassTheLimit,
        Self::EarlierHoldsCount,
        Self::HoldsCountAside,
        Self::GathersAgain,
        Self::GathersTooLong,
        Self::GathersUntilDeparture,
        Self::NeverGathers,
        Self::WalkGoesOn,
        Self::LastAreFirst,
        Self::PriceIsOverlooked,
        Self::HoldsDoNotWaitForTheWalk,
        Self::HoldsTakeGatheredSeats,
        Self::EndOfGatheringNeedsNoWalk,
        Self::LeavingNeedsNoWalk,
        Self::AnybodyJoins,
        Self::FreeSeatsPreventJoining,
    ];
}

/// The policy's walk with a mistake.
pub fn mistaken_walk(
    mistake: Mistake,
    free: SeatCount,
    (line, parties): (&Line, &[Waiting]),
    terms: Terms,
    (departs_at, now): (Timestamp, Timestamp),
) -> Walked {
    let mut terms = terms;
    let mut parties = parties.to_vec();
    match mistake {
        Mistake::GathersTooLong => terms.gather_for = terms.gather_for * 2,
        Mistake::GathersUntilDeparture => terms.release_before = chrono::Duration::zero(),
        Mistake::NeverGathers => terms.overtakes_max = i32::MAX,
        Mistake::PriceIsOverlooked => parties.iter_mut().for_each(|p| p.takes_price = true),
        Mistake::HoldsCountAside => {
            let aside = parties.iter_mut().filter(|party| party.passed_before.is_none());
            aside.for_each(|party| party.passed_before = Some(line.passed - 1));
        }
        Mistake::GathersAgain => parties.iter_mut().for_each(|p| p.gathers_until = None),
        Mistake::LastAreFirst => parties.reverse(),
        _ => {}
    }
    let mut walked = walk(free, line, &parties, &terms, departs_at, now);
    let was = |id: i64| parties.iter().find(|party| party.id == id).unwrap().overtaken;
    match mistake {
        Mistake::WalkCountsNothing => {
            walked.changed.iter_mut().for_each(|party| party.overtaken = was(party.id));
        }
        Mistake::WalkCountsOnce => {
            let counted = walked.changed.iter_mut().filter(|party| party.passed_before.is_some());
            counted.for_each(|p| p.overtaken = p.overtaken.min(was(p.id) + 1));
        }
        Mistake::WalkGoesOn if walked.gathers_for.is_some() => {
            let mut behind = parties.iter().filter(|party| Some(party.id) > walked.gathers_for);
            let next = behind.find(|party| !walked.promoted.contains(&party.id));
            if let Some(next) = next.filter(|party| party.seats == 1 && party.takes_price) {
                walked.promoted.push(next.id);
            }
        }
        _ => {}
    }
    walked
}

#[test]
fn the_oracle_finds_every_mistake() {
    for mistake in Mistake::ALL {
        let finds = |seed: &u64| Flight::play(*seed, Some(*mistake)).is_err();
        let found = (1..2_000).find(finds);
        assert!(found.is_some(), "{mistake:?} is not found");
    }
}
