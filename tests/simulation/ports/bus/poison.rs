//! Messages of foreign producers that no consumer may act upon.

use super::super::chance::{Chance, Fault};
use super::super::process::Process;
use super::broker::{Broker, PARTITIONS};
use airline_booking::domain::PaymentReference;
use airline_booking::messages::{Headers, Message, Origin, Original, Topic};
use serde_json::{Value, json};
use std::sync::Arc;

/// Bytes of a huge message. It stands for one that a consumer can't keep whole; to hash a true one takes longer
/// than a run.
const HUGE: usize = 4_096;

/// Lets a foreign producer write a message on some topic, if that fault strikes.
pub(super) fn perhaps(broker: &Broker, process: &Process) {
    if !process.strikes(Fault::MessagePoisoned) {
        return;
    }
    let chance = process.chance();
    let topic = Topic::ALL[chance.below(Topic::ALL.len() as u64) as usize];
    let partition = chance.below(PARTITIONS as u64) as usize;
    let sample = broker.channel(topic).sample(partition);
    let forged =
        (topic == Topic::PaymentEvents).then(|| forged_refund(broker, partition)).flatten();
    let poison = match forged {
        Some(forged) if chance.below(2) == 0 => forged,
        _ => poison(chance, sample),
    };
    chance.step(|| format!("foreign message on {}: {}", topic.as_str(), shown(&poison.payload)));
    broker.publish_foreign(topic, poison);
}

/// A message that can't be read, or a true one of which a field is wrong.
fn poison(chance: &Chance, sample: Option<Message>) -> Message {
    let key = chance.below(20).to_string();
    let unreadable = |payload: &str, fault, original| {
        let origin = Some(Origin { original, fault, ..Origin::of_text(0, 0) });
        let headers = Headers::default();
        Message { key: key.clone(), payload: payload.to_owned(), headers, origin }
    };
    let fields = sample.as_ref().and_then(|sample| serde_json::from_str(&sample.payload).ok());
    match (chance.below(7), sample, fields) {
        (0, ..) => {
            let original = Original::stub(Some(key.as_bytes()), Some(&[b'x'; HUGE]));
            let fault = Some("larger than 1000000 bytes");
            unreadable("\u{fffd}", fault, Some(Arc::new(original)))
        }
        (1, ..) => {
            let original = Original {
                key: Some(key.clone().into_bytes()),
                payload: Some(vec![0xff]),
                ..Original::default()
            };
            let fault = Some("not UTF-8, or its key is too long");
            unreadable("\u{fffd}", fault, Some(Arc::new(original)))
        }
        (2, ..) | (_, None, _) | (_, _, None) => unreadable(r#"{"booking_id":1,"#, None, None),
        (3, ..) => unreadable(r#"{"booking_id":"one","amount":null}"#, None, None),
        (kind, Some(sample), Some(fields)) => {
            let payload = falsified(chance, kind, fields).to_string();
            Message { payload, origin: None, ..sample }
        }
    }
}

/// The message with one field that is another payment's, amount's or booking's.
fn falsified(chance: &Chance, kind: u64, mut fields: Value) -> Value {
    let (field, value) = match kind {
        4 => {
            let other = PaymentReference::from_bits(chance.bits());
            ("payment_reference_id", json!(other.to_string()))
        }
        5 => {
            let amount = fields.get("amount").and_then(Value::as_f64).unwrap_or_default();
            ("amount", json!(amount + 1.0))
        }
        _ => ("booking_id", json!(1_000_000_000 + chance.below(1_000))),
    };
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    fields
}

/// The outcome of the last refund that was requested, over another amount than the request's.
fn forged_refund(broker: &Broker, partition: usize) -> Option<Message> {
    let is_refund = |message: &Message| message.payload.contains("\"refund_id\"");
    let request = broker.channel(Topic::PaymentRequests).last(partition, is_refund)?;
    let mut fields: Value = serde_json::from_str(&request.payload).ok()?;
    let amount = fields.get("amount")?.as_f64()?;
    let all = fields.as_object_mut().filter(|all| all.contains_key("refund_id"))?;
    all.insert("status".to_owned(), json!("refunded"));
    all.insert("amount".to_owned(), json!(amount + 1.0));
    Some(Message { payload: fields.to_string(), origin: None, ..request })
}

fn shown(payload: &str) -> String {
    payload.chars().take(200).collect()
}
