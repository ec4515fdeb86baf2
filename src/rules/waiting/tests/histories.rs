//! Random histories of a flight, each decided by the policy and told by the oracle.

use super::flight::{Flight, Seen};

/// Histories, each of a seed.
const HISTORIES: u64 = 50_000;

#[test]
fn the_policy_agrees_with_the_oracle_on_every_history() {
    let mut all = Seen::default();
    for seed in 0..HISTORIES {
        let seen = Flight::play(seed, None).unwrap_or_else(|difference| panic!("{difference}"));
        all.add(&seen);
    }
    assert!(all.least() >= 1_000, "some things hardly happen: {all:?}");
}
