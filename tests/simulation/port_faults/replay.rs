//! The same seed gives the same run.

use super::super::ports::bus::{Broker, SimBus};
use super::super::ports::cache::{CacheServer, SimCache};
use super::super::ports::chance::{Chance, Fault};
use super::super::ports::gateway::{Provider, SimGateway};
use super::super::ports::locks::{LockServer, SimLocks};
use super::super::ports::process::Process;
use super::bus::{TOPIC, messages};
use super::gateway::capture;
use airline_booking::bus::Bus;
use airline_booking::cache::SearchCache;
use airline_booking::domain::{DayKey, FlightId, Invalidation};
use airline_booking::gateway::Gateway;
use airline_booking::lock::FlightLocks;
use airline_booking::tasks::{Switch, Tasks};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What all replicas share.
#[derive(Clone, Default)]
struct World {
    provider: Provider,
    locks: LockServer,
    cache: CacheServer,
}

/// Uses every port for some time.
fn replica(world: &World, broker: &Broker, process: &Process, tasks: &Tasks) {
    let bus = SimBus::new(broker, process);
    tasks.spawn(async move {
        for batch in messages(200, 20).chunks(7) {
            while bus.publish(batch).await.is_err() {}
            sleep(Duration::from_millis(10)).await;
        }
    });
    let bus = SimBus::new(broker, process);
    tasks.spawn(async move {
        loop {
            let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
            while let Ok(received) = consumer.receive(9).await {
                for message in received.into_iter().filter(|message| message.payload.len() < 9) {
                    bus.dead_letter(TOPIC, message, "unreadable").await.ok();
                }
                if consumer.commit().await.is_err() {
                    break;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let gateway = SimGateway::new(&world.provider, process);
    tasks.spawn(async move {
        for payment in 0..50 {
            let limit = Duration::from_secs(1);
            let _ = timeout(limit, gateway.open(&capture(payment))).await;
            let _ = timeout(limit, gateway.void(capture(payment).reference)).await;
        }
    });
    let (locks, cache) =
        (SimLocks::new(&world.locks, process), SimCache::new(&world.cache, process));
    tasks.spawn(async move {
        let day = DayKey { route: "a#b".into(), date: chrono::NaiveDate::default() };
        for _ in 0..200 {
            let taken = locks.take(&[FlightId(1), FlightId(2)]).await;
            let generation = cache.current(&day).await;
            cache.keep(&day, generation, &"answer".into()).await;
            cache.invalidate_everywhere(&Invalidation::All).await.ok();
            locks.release(taken).await;
        }
    });
}

/// The digest, the steps, and whether each fault of these ports has struck.
async fn run(seed: u64) -> (u64, u64, Vec<Fault>) {
    let rates = Fault::ALL
        .iter()
        .map(|fault| (*fault, 30))
        .filter(|(fault, _)| *fault != Fault::GatewayPanics);
    let chance = Chance::new(seed, rates.collect(), false);
    let (world, broker) = (World::default(), Broker::new());
    let switches = [Switch::default(), Switch::default(), Switch::default()];
    for (number, switch) in switches.iter().enumerate() {
        let process = Process::new(&format!("r{number}"), &chance, switch);
        replica(&world, &broker, &process, &Tasks::killed_by(switch));
    }
    sleep(Duration::from_secs(2)).await;
    switches[0].kill();
    sleep(Duration::from_secs(60)).await;
    switches.iter().for_each(Switch::kill);
    (chance.digest(), chance.steps(), chance.faults().into_keys().collect())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_digest() {
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    let (_, steps, faults) = first;
    assert!(steps > 1_000 && faults.len() == 17, "{steps} steps, {faults:?}");
}
