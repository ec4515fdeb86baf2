//! Unusable messages of every size and kind that Kafka accepts.

use super::kafka::WAIT_MAX;
use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

/// Is part of every text of it, so that a test finds where a value leaks.
pub const MARK: &str = "garbage-mark";

/// The largest payload: with key and envelope just below what brokers take, 1,048,588 bytes.
const BYTES_MAX: usize = 1_048_000;

/// One message.
pub struct Garbage {
    /// What it is, for a failure.
    pub kind: String,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

fn with(kind: impl Into<String>, payload: impl Into<Vec<u8>>) -> Garbage {
    let (kind, payload) = (kind.into(), Some(payload.into()));
    Garbage { kind, key: Some(b"1".to_vec()), payload, headers: OwnedHeaders::new() }
}

fn marked(length: usize) -> String {
    MARK.chars().cycle().take(length).collect()
}

/// A request or an event that is whole but for one field.
fn nearly(field: &str, value: Value) -> Vec<u8> {
    let mut whole = json!({
        "booking_id": 1, "payment_reference_id": "PAY-00000000000000000000000000000000",
        "amount": 2500, "currency": "INR", "payment_method": "pm_card_visa", "action": "capture",
        "status": "completed", "timestamp": "2025-01-01T00:00:00Z"
    });
    whole[field] = value;
    whole.to_string().into_bytes()
}

/// Every kind, each once; for `payment-requests` and `payment-events` alike.
pub fn all() -> Vec<Garbage> {
    let mut all = Vec::new();
    for length in [1, 100, 65_536, 350_000, 999_900, BYTES_MAX] {
        all.push(with(format!("{length} bytes of text"), marked(length)));
        all.push(with(format!("{length} bytes of 0xff"), vec![0xff; length]));
        all.push(with(format!("{length} zero bytes"), vec![0; length]));
    }
    for length in [1_000, 100_000, BYTES_MAX] {
        all.push(with(format!("{length} open brackets"), "[".repeat(length)));
        all.push(with(format!("{length} bytes of open objects"), r#"{"a":"#.repeat(length / 5)));
    }
    let whole = nearly("booking_id", json!(1));
    all.push(with("JSON that breaks off", &whole[..whole.len() / 2]));
    for text in ["", " ", "null", "true", "42", "\"text\"", "[]", "[1, 2]", "{}", "NaN", "1e999"] {
        all.push(with(format!("the JSON {text:?}"), text));
    }
    let wrong = [
        ("booking_id", json!(MARK)),
        ("booking_id", json!(1e30)),
        ("booking_id", Value::Null),
        ("payment_reference_id", json!(7)),
        ("payment_reference_id", json!(marked(600_000))),
        ("amount", json!([MARK])),
        ("amount", json!(marked(600_000))),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!({ MARK: MARK })),
    ];
    for (field, value) in wrong {
        all.push(with(format!("a wrong {field}"), nearly(field, value)));
    }
    // Each names a refund's id without a refund.
    for id in [format!("REF-{:032x}", 1), MARK.to_owned(), marked(600_000), String::new()] {
        all.push(with(format!("a refund's id of {}", id.len()), nearly("refund_id", json!(id))));
    }
    let mut refund: Value = serde_json::from_slice(&whole).expect("JSON");
    (refund["action"], refund["status"]) = (json!("refund"), json!("refunded"));
    all.push(with("a refund without its id", refund.to_string()));
    refund["refund_id"] = json!(format!("PAY-{:032x}", 1));
    all.push(with("a refund with a payment's id", refund.to_string()));
    // A reader of either topic knows one of the two words, and passes over the other.
    let huge = marked(600_000);
    for [action, status] in [[&huge[..], "?"], ["?", &huge], [MARK, MARK], ["", ""]] {
        let mut unknown: Value = serde_json::from_slice(&whole).expect("JSON");
        (unknown["action"], unknown["status"]) = (json!(action), json!(status));
        let kind = format!("unknown words of {} and {}", action.len(), status.len());
        all.push(with(kind, unknown.to_string()));
    }
    all.push(Garbage { payload: None, ..with("no payload", "") });
    all.push(Garbage { key: None, ..with("no key", MARK) });
    all.push(Garbage { key: None, payload: None, ..with("neither key nor payload", "") });
    all.push(Garbage { key: Some(marked(600_000).into()), ..with("a huge key", MARK) });
    all.push(Garbage { key: Some(vec![0xff; 500_000]), ..with("a huge binary key", MARK) });
    let huge = marked(500_000);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "ce_id", value: Some(&huge) })
        .insert(Header { key: "traceparent", value: Some(&huge) });
    all.push(Garbage { headers, ..with("huge headers", MARK) });
    let headers = OwnedHeaders::new().insert(Header { key: "ce_type", value: Some(&[0xff, 0xfe]) });
    all.push(Garbage { headers, ..with("a binary header", MARK) });
    all
}

/// Writes it to the topic's first partition, as somebody else's producer would.
pub async fn write(brokers: &str, topic: &str, garbage: &[Garbage]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer");
    let sent = garbage.iter().map(|one| {
        let record = FutureRecord {
            topic,
            partition: Some(0),
            payload: one.payload.as_deref(),
            key: one.key.as_deref(),
            timestamp: None,
            headers: Some(one.headers.clone()),
        };
        let sent = producer.send(record, WAIT_MAX);
        async move { sent.await.unwrap_or_else(|(error, _)| panic!("{}: {error}", one.kind)) }
    });
    join_all(sent).await;
}
