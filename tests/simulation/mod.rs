//! The real engine, relay, workers and use cases under simulation: whole deployments in one thread and on
//! simulated time. A seed determines a run.
//!
//! `tests/run` plays some hundred seeds; `tests/simulate --seeds N` plays more, and `tests/simulate --seed N`
//! plays one again and shows its steps.

mod bank;
#[expect(clippy::print_stdout, reason = "its output is what `tests/simulate` shows")]
mod bugs;
mod check;
mod check_money;
mod client;
mod lines;
mod operator;
mod plan;
mod port_faults;
#[expect(dead_code, unused_imports, reason = "some serve the contracts alone")]
mod ports;
mod replica;
#[expect(clippy::print_stdout, reason = "its output is what `tests/simulate` shows")]
mod report;
mod told;
mod world;

use plan::Plan;
use world::run;

/// Seeds that `tests/run` plays.
const SEEDS: u64 = 200;

#[test]
fn no_seed_breaks_a_promise() {
    report::play(1..SEEDS + 1);
}

#[test]
fn a_seed_plays_the_same_way_each_time() {
    for seed in 1..=8 {
        let [first, second] = [run(&Plan::of(seed), false), run(&Plan::of(seed), false)];
        assert_eq!((first.digest, first.steps), (second.digest, second.steps), "seed {seed}");
    }
}

/// Played by `tests/simulate`, which says which seeds.
#[test]
#[ignore = "tests/simulate plays as many seeds as one asks for"]
fn seeds_that_were_asked_for() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    if let Some(seed) = number("SIMULATE_SEED") {
        return report::show(&Plan::of(seed));
    }
    let first = number("SIMULATE_FROM").unwrap_or(1);
    let seeds = number("SIMULATE_SEEDS").unwrap_or(1_000);
    report::play(first..first + seeds);
}
