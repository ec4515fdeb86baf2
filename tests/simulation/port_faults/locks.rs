//! Faults of flight locks.

use super::super::ports::chance::{Chance, Fault};
use super::super::ports::locks::{LEASE, LockServer, SimLocks};
use super::super::ports::process::Process;
use super::{always, hangs, process};
use airline_booking::domain::FlightId;
use airline_booking::lock::FlightLocks;
use airline_booking::tasks::Switch;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const FLIGHT: [FlightId; 1] = [FlightId(1)];

/// Locks with a fault, those of another replica without, and the fault's source.
fn both(fault: Fault) -> (SimLocks, SimLocks, Chance) {
    let (server, chance) = (LockServer::default(), always(fault));
    let sound = SimLocks::new(&server, &Process::sound("two"));
    (SimLocks::new(&server, &process("one", &chance)), sound, chance)
}

async fn is_free(locks: &SimLocks) -> bool {
    !locks.take(&FLIGHT).await.flights.is_empty()
}

#[tokio::test(start_paused = true)]
async fn without_the_lock_service_all_flights_count_as_locked_by_the_caller() {
    let (faulty, sound, _) = both(Fault::LocksAway);
    assert!(is_free(&sound).await && is_free(&faulty).await && is_free(&faulty).await);
}

#[tokio::test(start_paused = true)]
async fn a_lock_lapses_under_its_holder() {
    let (faulty, sound, _) = both(Fault::LockLapses);
    let taken = faulty.take(&FLIGHT).await;
    assert_eq!(taken.flights, FLIGHT);
    timeout(Duration::from_millis(20), faulty.keep(&taken)).await.expect_err("it keeps on");
    assert!(is_free(&sound).await);
    faulty.release(taken).await;
    assert!(!is_free(&faulty).await, "it is the other's now");
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_release_is_lost_lapses() {
    let (faulty, sound, _) = both(Fault::ReleaseLost);
    let taken = faulty.take(&FLIGHT).await;
    faulty.release(taken).await;
    sleep(LEASE / 5 * 4).await;
    assert!(!is_free(&sound).await);
    sleep(LEASE / 5).await;
    assert!(is_free(&sound).await);
}

#[tokio::test(start_paused = true)]
async fn a_busy_stranger_gives_the_lock_back() {
    let (faulty, sound, _) = both(Fault::LockBusy);
    assert!(!is_free(&faulty).await && !is_free(&sound).await);
    sleep(Duration::from_secs(2)).await;
    assert!(is_free(&sound).await);
}

#[tokio::test(start_paused = true)]
async fn locks_of_a_killed_process_lapse() {
    let (server, chance, switch) =
        (LockServer::default(), Chance::without_faults(), Switch::default());
    let killed = SimLocks::new(&server, &Process::new("killed", &chance, &switch));
    let sound = SimLocks::new(&server, &Process::sound("two"));
    let taken = killed.take(&FLIGHT).await;
    timeout(LEASE * 3, killed.keep(&taken)).await.expect_err("it keeps on");
    assert!(!is_free(&sound).await);
    switch.kill();
    assert!(hangs(killed.take(&FLIGHT)).await && server.held() == 0);
    let (one, two) = (killed.keep(&taken), is_free(&sound));
    tokio::select! {
        biased;
        never = one => match never {},
        is_free = two => assert!(is_free),
    }
}
