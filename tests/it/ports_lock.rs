//! The lock port's promises, on each adapter.

use crate::simulated::locks::{LockServer, SimLocks};
use crate::simulated::process::Process;
use crate::support::redis::{cluster, prefix, single};
use airline_booking::domain::FlightId;
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::lock::redis::RedisLocks;
use airline_booking::lock::{FlightLocks, Taken};
use airline_booking::redis::Redis;
use futures::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Short, so that a test can wait for its end, and long enough for a renewal on a busy machine.
const LEASE: Duration = Duration::from_millis(2_500);

/// Turns in which a replica that is starved would show.
const TURNS: usize = 120;

/// Replicas that lock each other out; one object is all of them where they share memory.
struct Replicas {
    locks: [Arc<dyn FlightLocks>; 2],
    lapses: bool,
}

impl Replicas {
    fn in_memory() -> Self {
        let locks: Arc<dyn FlightLocks> = Arc::new(MemoryLocks::default());
        Self { locks: [locks.clone(), locks], lapses: false }
    }

    fn in_redis(connect: impl Fn() -> Redis) -> Self {
        let prefix = prefix("lock");
        let locks = || -> Arc<dyn FlightLocks> {
            Arc::new(RedisLocks::with_lease(connect(), &prefix, LEASE))
        };
        Self { locks: [locks(), locks()], lapses: true }
    }

    fn simulated() -> Self {
        let server = LockServer::default();
        let locks = |name| -> Arc<dyn FlightLocks> {
            Arc::new(SimLocks::with_lease(&server, &Process::sound(name), LEASE))
        };
        Self { locks: [locks("one"), locks("two")], lapses: true }
    }
}

fn flights(numbers: impl IntoIterator<Item = i64>) -> Vec<FlightId> {
    numbers.into_iter().map(FlightId).collect()
}

fn sorted(taken: &Taken) -> Vec<FlightId> {
    let mut flights = taken.flights.clone();
    flights.sort_unstable();
    flights
}

async fn a_flight_is_locked_once_until_it_is_released(replicas: Replicas) {
    let [one, two] = &replicas.locks;
    let first = one.take(&flights([1, 2])).await;
    assert_eq!(sorted(&first), flights([1, 2]));
    let second = two.take(&flights([2, 3])).await;
    assert_eq!(sorted(&second), flights([3]));
    one.release(first).await;
    let third = two.take(&flights([1, 2])).await;
    assert_eq!(sorted(&third), flights([1, 2]));
    two.release(second).await;
    two.release(third).await;
    let all = flights([1, 2, 3]);
    // The previous holder need not wait: no other replica wants them.
    assert_eq!(sorted(&one.take(&all).await), all);
}

async fn one_call_locks_a_whole_batch(replicas: Replicas) {
    let [one, two] = &replicas.locks;
    let (evens, all) = (flights((0..512).map(|n| 2 * n)), flights(0..1_024));
    let first = one.take(&evens).await;
    assert_eq!(sorted(&first), evens);
    let second = two.take(&all).await;
    assert_eq!(sorted(&second), flights((0..512).map(|n| 2 * n + 1)));
    one.release(first).await;
    two.release(second).await;
    // The other one was waiting for them.
    assert_eq!(two.take(&evens).await.flights.len(), 512);
}

async fn a_renewed_lock_does_not_expire_and_an_abandoned_one_does(replicas: Replicas) {
    let [one, two] = &replicas.locks;
    let wanted = flights([7]);
    let taken = one.take(&wanted).await;
    assert_eq!(sorted(&taken), wanted);
    let watch = async {
        let until = Instant::now() + LEASE * 2;
        while Instant::now() < until {
            assert_eq!(two.take(&wanted).await.flights, []);
            // The lease ends by Redis' clock, so the test looks at it in real time.
            tokio::time::sleep(LEASE / 10).await;
        }
    };
    tokio::select! {
        never = one.keep(&taken) => match never {},
        () = watch => {}
    }
    if replicas.lapses {
        tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
        let next = two.take(&wanted).await;
        assert_eq!(next.flights, wanted);
        // What had lapsed is not ours to give back.
        one.release(taken).await;
        assert_eq!(one.take(&wanted).await.flights, []);
    }
}

/// Two busy replicas want the same flight, as two engines do: each takes, works, releases, and asks
/// again at once; after a refusal it asks again 2 ms later.
async fn two_replicas_that_lock_one_flight_take_turns(replicas: Replicas) {
    let wanted = flights([5]);
    let is_held = AtomicBool::new(false);
    let turns = Mutex::new(Vec::new());
    let work = |number: usize| {
        let (locks, wanted, is_held, turns) = (&replicas.locks[number], &wanted, &is_held, &turns);
        async move {
            while turns.lock().expect("no panic").len() < TURNS {
                let taken = locks.take(wanted).await;
                if taken.flights.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                assert!(!is_held.swap(true, Ordering::SeqCst), "held twice");
                // The work of a batch.
                tokio::time::sleep(Duration::from_millis(3)).await;
                is_held.store(false, Ordering::SeqCst);
                turns.lock().expect("no panic").push(number);
                locks.release(taken).await;
            }
        }
    };
    join_all([work(0), work(1)]).await;
    let turns = turns.into_inner().expect("no panic");
    let longest = turns.chunk_by(|one, next| one == next).map(<[usize]>::len).max();
    // In one process the engine never wants a flight twice: its own queues prevent that.
    assert!(!replicas.lapses || longest < Some(50), "one waits too long: {turns:?}");
}

macro_rules! on_each_lock {
    ($($body:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_memory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_redis(super::single)).await;
            })+
        }
        mod redis_cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_redis(super::cluster)).await;
            })+
        }
        mod in_simulation {
            $(#[tokio::test(start_paused = true)]
            async fn $body() {
                super::$body(super::Replicas::simulated()).await;
            })+
        }
    };
}

on_each_lock!(
    a_flight_is_locked_once_until_it_is_released,
    one_call_locks_a_whole_batch,
    a_renewed_lock_does_not_expire_and_an_abandoned_one_does,
    two_replicas_that_lock_one_flight_take_turns,
);
