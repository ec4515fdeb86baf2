//! Two replicas as real processes on servers of their own, under a mixed load, while a seeded schedule kills,
//! freezes, restarts, cuts, stalls and slows down each of them; then every client's history is checked.
//!
//! `tests/chaos` runs it. Time and chance of the machine are part of it, so that a seed repeats the schedule and
//! not the run.

mod checker;
mod clients;
mod deployment;
mod faults;
mod report;

use clients::{Clients, Wish, http_client};
use deployment::{Deployment, LOGS, REPLICAS};
use fastrand::Rng;
use faults::Fault;
use report::Report;
use std::time::{Duration, Instant};

/// How long a replica may take until it answers 201 again, once a fault has ended.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// The pause between two faults, in milliseconds: long enough that most of the load is accepted.
const PAUSE_MILLIS: std::ops::Range<u64> = 300..1_500;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/chaos runs it, with a length and a seed"]
#[allow(clippy::print_stdout, reason = "its output is what `tests/chaos` shows")]
async fn histories_hold_whatever_fails() {
    let length = Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(60));
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("chaos: seed {seed}, {} s of faults; logs: {LOGS}/chaos-*.log", length.as_secs());
    let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
    let mut rng = Rng::with_seed(seed);
    let mut deployment = Deployment::start().await;
    let mut flights = deployment.add_flights().await;
    // One that is not sold out by others.
    let probed = flights.pop().expect("flights");
    let mut report = Report::default();
    if !deployment.can_fail_over() {
        report.left_out.push("PostgreSQL's failover to a replica, because it runs in a container");
    }
    let clients = Clients::start(&deployment.bases, &flights, &mut rng);

    let began = Instant::now();
    let mut schedule = Vec::new();
    while began.elapsed() < length {
        // Every kind once, in an order of chance, and then all of them again.
        let fault: Fault = schedule.pop().unwrap_or_else(|| {
            schedule = Fault::all(&deployment);
            schedule.retain(|fault| only.split('|').any(|text| fault.name().contains(text)));
            rng.shuffle(&mut schedule);
            schedule.pop().expect("kinds of faults")
        });
        tokio::time::sleep(Duration::from_millis(rng.u64(PAUSE_MILLIS))).await;
        println!("{:.1} s: {}", began.elapsed().as_secs_f64(), fault.name());
        let ended = fault.happen(&mut deployment, &mut rng).await;
        recover((fault, ended), &deployment, probed, &mut report).await;
        deployment.complete().await;
        if let Some(stop) = checker::look_for_a_stop(&deployment).await {
            report.oddities.push(stop);
            break;
        }
    }
    let histories = clients.stop().await;
    report.histories.extend(histories);
    checker::check(&deployment, &mut report).await;
    report.show();
    assert!(report.is_sound(), "see above; the seed was {seed}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Asks each replica for a booking until it answers 201; notes how long after the fault's end the slower one did.
async fn recover(
    (fault, ended): (Fault, Instant),
    deployment: &Deployment,
    flight: i64,
    report: &mut Report,
) {
    let probes = (0..REPLICAS).map(async |replica| {
        let mut wish = Wish::new(flight, 1, "pm_card_visa", true);
        let client = http_client(Duration::from_secs(2));
        while wish.answers.is_empty() && ended.elapsed() < RECOVERY_MAX {
            wish.ask(&client, &deployment.bases.of(replica)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (wish, ended.elapsed())
    });
    let mut slowest = Duration::ZERO;
    for (wish, took) in futures::future::join_all(probes).await {
        if wish.answers.is_empty() {
            report.oddities.push(format!("no 201 within {RECOVERY_MAX:?} after: {}", fault.name()));
        }
        report.histories.wishes.push(wish);
        slowest = slowest.max(took);
    }
    report.recovered(fault.name(), slowest);
}
