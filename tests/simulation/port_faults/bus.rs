//! Faults of publications and messages.

use super::super::ports::bus::{Broker, Record, SimBus};
use super::super::ports::chance::{Chance, Fault};
use super::{always, at_rate, process};
use airline_booking::bus::{Bus, Consumer};
use airline_booking::messages::{Headers, Message, Topic, parse_payment_event};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub const TOPIC: Topic = Topic::PaymentEvents;

pub fn message(key: usize, number: usize) -> Message {
    let payload = format!(
        r#"{{"booking_id":{key},"payment_reference_id":"PAY-{number:032x}","amount":1.00,"status":"completed","timestamp":"2026-01-01T00:00:00Z"}}"#
    );
    Message { key: key.to_string(), payload, headers: Headers::default(), origin: None }
}

/// Messages of the keys in turn.
pub fn messages(count: usize, keys: usize) -> Vec<(Topic, Message)> {
    (0..count).map(|number| (TOPIC, message(number % keys, number))).collect()
}

pub fn bus(broker: &Broker, chance: &Chance) -> SimBus {
    SimBus::new(broker, &process("one", chance))
}

/// Receives so many.
pub async fn collect(consumer: &mut dyn Consumer, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(consumer.receive(count - all.len()).await.expect("messages"));
    }
    all
}

/// Asserts that each key's payloads rise, by their first occurrences.
fn assert_ordered<'a>(messages: impl IntoIterator<Item = &'a Message>) {
    let (mut last, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for message in messages {
        if seen.insert(&message.payload) {
            let before = last.insert(&message.key, &message.payload);
            assert!(before < Some(&message.payload), "{message:?} after {before:?}");
        }
    }
}

fn of_log(log: &[Record]) -> impl Iterator<Item = &Message> {
    log.iter().map(|record| &record.message)
}

#[tokio::test(start_paused = true)]
async fn a_lost_publication_leaves_nothing() {
    let (broker, chance) = (Broker::new(), always(Fault::PublishLost));
    let bus = bus(&broker, &chance);
    bus.publish(&messages(9, 9)).await.expect_err("lost");
    bus.dead_letter(TOPIC, message(1, 1), "lost").await.expect_err("lost");
    sleep(Duration::from_secs(9)).await;
    assert!(broker.published(TOPIC).is_empty() && broker.dead_letters().is_empty());
    assert!(broker.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_publication_without_receipt_leaves_the_first_messages_of_each_partition() {
    let mut counts = BTreeSet::new();
    for seed in 0..40 {
        let (broker, chance) = (Broker::new(), at_rate(Fault::PublishLostAfter, 1_000, seed));
        let bus = bus(&broker, &chance);
        bus.publish(&messages(30, 10)).await.expect_err("no receipt");
        sleep(Duration::from_secs(9)).await;
        let out = broker.published(TOPIC);
        counts.insert(out.len());
        chance.calm();
        bus.publish(&messages(30, 10)).await.expect("published");
        let all = broker.published(TOPIC);
        assert_eq!(all.len(), out.len() + 30);
        assert_ordered(of_log(&all));
    }
    assert!(counts.len() > 5, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_doubled_message_arrives_twice_and_the_order_of_its_key_stands() {
    let (broker, chance) = (Broker::new(), at_rate(Fault::MessageDoubled, 300, 1));
    let bus = bus(&broker, &chance);
    for batch in messages(200, 10).chunks(5) {
        bus.publish(batch).await.expect("published");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_secs(9)).await;
    let log = broker.published(TOPIC);
    assert_eq!(log.len(), 200 + chance.faults()[&Fault::MessageDoubled] as usize);
    assert!(log.len() > 230);
    assert_ordered(of_log(&log));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_arrives_behind_later_ones_of_other_keys() {
    let (broker, chance) = (Broker::new(), always(Fault::MessageDelayed));
    let bus = bus(&broker, &chance);
    let mut consumer = bus.consume(TOPIC, "a").await.expect("a consumer");
    let began = Instant::now();
    let all = messages(100, 10);
    let (late, others) = all.split_first().expect("messages");
    bus.publish(std::slice::from_ref(late)).await.expect("published");
    chance.calm();
    bus.publish(others).await.expect("published");
    let arrived = collect(&mut *consumer, 100).await;
    assert!(began.elapsed() > Duration::from_millis(100), "{:?}", began.elapsed());
    assert_ordered(&arrived);
    let place = arrived.iter().position(|message| message.payload == late.1.payload);
    assert!(place > Some(30), "{place:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_message_is_foreign_and_says_nothing_true() {
    let (broker, chance) = (Broker::new(), always(Fault::MessagePoisoned));
    let bus = bus(&broker, &chance);
    let sent = messages(400, 10);
    for message in &sent {
        bus.publish(std::slice::from_ref(message)).await.expect("published");
    }
    let poison: usize = Topic::ALL
        .into_iter()
        .map(|topic| broker.published(topic).iter().filter(|record| record.is_foreign).count())
        .sum();
    assert_eq!(poison, 400);
    let true_ones: BTreeSet<_> = sent.iter().map(|(_, message)| &message.payload).collect();
    let log = broker.published(TOPIC);
    let foreign: Vec<_> = log.iter().filter(|record| record.is_foreign).collect();
    assert!(foreign.iter().all(|record| !true_ones.contains(&record.message.payload)));
    let parsed = foreign.iter().filter(|record| parse_payment_event(&record.message).is_ok());
    let parsed = parsed.count();
    assert!(parsed > 10 && parsed < foreign.len() - 10, "{parsed} of {}", foreign.len());
}
