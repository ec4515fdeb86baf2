//! Many runs, summed up; and one run, step by step. A run that fails is made smaller before it is shown.

use super::check::Told;
use super::plan::Plan;
use super::ports::chance::Fault;
use super::ports::store::PLANNED_PANIC;
use super::world::{Outcome, run};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Steps of a trace that are shown.
const TRACE_MAX: usize = 5_000;

/// Maximum runs to make a failure smaller.
const SHRINKS_MAX: usize = 200;

/// What came of many runs.
#[derive(Default)]
struct Report {
    seeds: u64,
    steps: u64,
    told: Told,
    refunds: usize,
    faults: BTreeMap<Fault, u64>,
    /// The seeds that failed, each with its first violation.
    failed: BTreeMap<u64, String>,
    violations: usize,
}

impl Report {
    /// Adds a run.
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.told.add(outcome.told);
        self.refunds += outcome.refunds;
        for (fault, times) in &outcome.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
        if !outcome.violations.is_empty() {
            self.violations += outcome.violations.len();
            self.failed.insert(seed, outcome.violations[0].clone());
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.told.add(other.told);
        self.refunds += other.refunds;
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        self.failed.extend(other.failed);
        self.violations += other.violations;
    }

    /// Prints the sum. Shows the first run that failed, as small as it can be, and panics.
    fn finish(self) {
        let faults: u64 = self.faults.values().sum();
        for (fault, times) in &self.faults {
            println!("  {fault:?}: {times}");
        }
        let Told { orders, of_several_flights, cancelled, changed } = self.told;
        println!("{orders} orders accepted, {of_several_flights} of them of several flights");
        println!(
            "{cancelled} bookings cancelled in part or whole, {changed} moved at once, {} refunds",
            self.refunds
        );
        let Self { seeds, steps, violations, .. } = self;
        for (seed, violation) in &self.failed {
            println!("seed {seed} failed: {violation}");
        }
        if let Some(seed) = self.failed.keys().next() {
            show(&shrink(&Plan::of(*seed)));
        }
        println!("{seeds} seeds, {steps} steps, {faults} faults, {violations} violations");
        assert!(self.failed.is_empty(), "seeds {:?} break a promise", self.failed.keys());
    }
}

/// Plays seeds on all cores, with progress.
pub fn play(seeds: Range<u64>) {
    quiet_panics();
    let (began, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut report = Report::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return report;
                        }
                        report.add(seed, &run(&Plan::of(seed), false));
                        let done = seed - seeds.start + 1;
                        if done.is_multiple_of(500) {
                            let rate = done as f64 / began.elapsed().as_secs_f64();
                            println!("{done} seeds, {rate:.0} a second");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            report.merge(worker.join().expect("a run does not panic"));
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0} steps a second", report.steps as f64 / seconds);
    report.finish();
}

/// Plays one run and prints its steps and violations.
pub fn show(plan: &Plan) {
    quiet_panics();
    println!("{plan}");
    let outcome = run(plan, true);
    let left_out = outcome.trace.len().saturating_sub(TRACE_MAX);
    if left_out > 0 {
        println!("… {left_out} steps");
    }
    outcome.trace.iter().skip(left_out).for_each(|step| println!("{step}"));
    for violation in &outcome.violations {
        println!("VIOLATION: {violation}");
    }
    let (steps, faults) = (outcome.steps, outcome.faults.values().sum::<u64>());
    println!("1 seed, {steps} steps, {faults} faults, {} violations", outcome.violations.len());
}

/// A smaller plan that fails too, if there is one.
fn shrink(plan: &Plan) -> Plan {
    let mut smallest = plan.clone();
    let mut runs = 0;
    'smaller: loop {
        for plan in smallest.smaller() {
            runs += 1;
            if runs > SHRINKS_MAX {
                return smallest;
            }
            if !run(&plan, false).violations.is_empty() {
                smallest = plan;
                continue 'smaller;
            }
        }
        return smallest;
    }
}

/// Keeps planned panics out of the output.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.contains(PLANNED_PANIC)) {
                usual(panic);
            }
        }));
    });
}
