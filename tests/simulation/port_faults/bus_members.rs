//! Faults of consumers, and what the death of their process does.

use super::super::ports::bus::{Broker, SESSION, SimBus};
use super::super::ports::chance::{Chance, Fault};
use super::super::ports::process::Process;
use super::bus::{TOPIC, bus, collect, messages};
use super::{always, at_rate, hangs};
use airline_booking::bus::Bus;
use airline_booking::tasks::{Switch, Tasks};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A broker with these messages on it.
async fn with_messages(count: usize) -> Broker {
    let broker = Broker::new();
    let bus = bus(&broker, &Chance::without_faults());
    bus.publish(&messages(count, 10)).await.expect("published");
    broker
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_to_receive_loses_nothing() {
    let (broker, chance) = (with_messages(20).await, always(Fault::ReceiveLost));
    let bus = bus(&broker, &chance);
    for _ in 0..3 {
        let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
        consumer.receive(9).await.expect_err("lost");
    }
    chance.calm();
    let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *consumer, 20).await;
    assert!(!broker.is_idle());
    consumer.commit().await.expect("committed");
    assert!(broker.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_in_mid_batch_gives_the_batch_to_another_member_too() {
    let (broker, chance) = (with_messages(20).await, at_rate(Fault::Rebalance, 1_000, 1));
    let bus = bus(&broker, &chance);
    let mut first = bus.consume(TOPIC, "a").await.expect("a consumer");
    // Alone: it loses the partitions and gets them again.
    let batch = first.receive(20).await.expect("messages");
    chance.calm();
    first.commit().await.expect("committed");
    assert_eq!(collect(&mut *first, 20).await.len(), 20, "all of {batch:?} comes again");
    // Another one joins, which moves partitions.
    let mut second = bus.consume(TOPIC, "a").await.expect("a consumer");
    let again = second.receive(20).await.expect("messages");
    first.commit().await.expect("committed");
    assert!(!again.is_empty() && !broker.is_idle());
}

#[tokio::test(start_paused = true)]
async fn lost_offsets_come_again_after_a_restart() {
    let chance = at_rate(Fault::OffsetsLost, 1_000, 1);
    let broker = with_messages(20).await;
    let bus = bus(&broker, &chance);
    let mut told = 0;
    for _ in 0..20 {
        let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
        assert_eq!(collect(&mut *consumer, 20).await.len(), 20);
        told += usize::from(consumer.commit().await.is_err());
        assert!(broker.is_idle(), "the work is done, and a living member knows it");
    }
    assert!((1..20).contains(&told), "{told}");
    assert!(!broker.is_idle());
    chance.calm();
    let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *consumer, 20).await;
    consumer.commit().await.expect("committed");
    drop(consumer);
    assert!(broker.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_killed_member_keeps_its_partitions_until_its_session_ends() {
    let (broker, chance, switch) =
        (with_messages(20).await, Chance::without_faults(), Switch::default());
    let killed = SimBus::new(&broker, &Process::new("killed", &chance, &switch));
    let mut theirs = killed.consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *theirs, 20).await;
    switch.kill();
    let killed_at = Instant::now();
    drop(theirs);
    let mut ours = bus(&broker, &chance).consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *ours, 20).await;
    assert!(killed_at.elapsed() >= SESSION && killed_at.elapsed() < SESSION * 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_gives_its_partitions_away_at_once() {
    let (broker, chance) = (with_messages(20).await, Chance::without_faults());
    let mut theirs = bus(&broker, &chance).consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *theirs, 20).await;
    drop(theirs);
    let left_at = Instant::now();
    let mut ours = bus(&broker, &chance).consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *ours, 20).await;
    assert!(left_at.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_while_it_publishes_may_leave_a_part() {
    let mut counts = BTreeSet::new();
    for seed in 0..40 {
        let (broker, chance) = (Broker::new(), Chance::new(seed, BTreeMap::new(), false));
        let switch = Switch::default();
        let bus = SimBus::new(&broker, &Process::new("killed", &chance, &switch));
        Tasks::killed_by(&switch).spawn(async move { bus.publish(&messages(30, 10)).await });
        sleep(Duration::from_millis(1 + seed % 5)).await;
        switch.kill();
        sleep(Duration::from_secs(1)).await;
        counts.insert(broker.published(TOPIC).len());
    }
    assert!(counts.contains(&0) && counts.contains(&30) && counts.len() > 3, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_does_nothing_more() {
    let (broker, chance, switch) =
        (with_messages(20).await, Chance::without_faults(), Switch::default());
    let bus = SimBus::new(&broker, &Process::new("killed", &chance, &switch));
    let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
    collect(&mut *consumer, 20).await;
    switch.kill();
    assert!(hangs(bus.publish(&messages(5, 5))).await);
    assert!(hangs(bus.ping()).await && hangs(consumer.commit()).await);
    assert!(hangs(consumer.receive(1)).await);
    assert_eq!(broker.published(TOPIC).len(), 20);
    sleep(SESSION).await;
    assert!(!broker.is_idle());
}
