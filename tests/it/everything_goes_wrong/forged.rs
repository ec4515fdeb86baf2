//! Forged messages about two bookings, from a producer with write access and without a secret.

use crate::support::callers::Wish;
use crate::support::eventually;
use crate::support::kafka;
use crate::support::members::Membership;
use airline_booking::messages::{Headers, Message, SIGNATURE, Signatures};
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};

/// One message of theirs.
pub struct Forged {
    topic: String,
    key: String,
    payload: String,
    signature: Option<String>,
    /// Whether a group reads the topic, so that a refused message becomes a dead letter. Listeners skip it.
    pub becomes_dead_letter: bool,
}

/// That the unpaid booking is paid, with no signature and with one by another secret, and that the paid
/// one was declined, or is to be given its money back. The flight's price is that of all test flights.
pub fn about(membership: &Membership, unpaid: &Wish, paid: &Wish) -> Vec<Forged> {
    let said = |wish: &Wish| {
        let (id, reference) = wish.answered.as_ref().expect("a booking");
        json!({
            "id": id, "booking_id": id, "payment_reference_id": reference, "amount": 2500.0,
            "currency": "INR", "payment_method": wish.body["payment_method"],
            "timestamp": "2025-01-01T00:00:00Z"
        })
    };
    let message = |topic: &str, mut body: Value, what: (&str, &str)| {
        body[what.0] = json!(what.1);
        Forged {
            topic: membership.setting(&format!("KAFKA_TOPIC_{topic}")).to_owned(),
            key: body["booking_id"].to_string(),
            payload: body.to_string(),
            signature: None,
            becomes_dead_letter: matches!(topic, "PAYMENTS" | "PAYMENT_REQUESTS"),
        }
    };
    let mut signed = message("PAYMENTS", said(unpaid), ("status", "completed"));
    // Spaced, so that its letter is another than the unsigned one's.
    signed.payload.push(' ');
    signed.signature = Some(signed.signature_of_a_stranger());
    vec![
        message("PAYMENTS", said(unpaid), ("status", "completed")),
        signed,
        message("PAYMENTS", said(paid), ("status", "failed")),
        message("PAYMENTS", said(paid), ("status", "reversed")),
        message("PAYMENT_REQUESTS", said(paid), ("action", "reverse")),
        message("EVENTS", said(unpaid), ("status", "completed")),
        message("BOOKINGS", said(paid), ("status", "cancelled")),
    ]
}

impl Forged {
    fn signature_of_a_stranger(&self) -> String {
        let (key, payload) = (self.key.clone(), self.payload.clone());
        let message = Message { key, payload, headers: Headers::default(), origin: None };
        let signatures =
            Signatures::new(["a secret of a stranger that is long enough to be one too"], true);
        signatures.expect("a secret").sign(&self.topic, &message)
    }

    /// Writes it as somebody else's producer would.
    pub async fn write(&self, membership: &Membership) {
        let headers = self.signature.iter().fold(OwnedHeaders::new(), |headers, value| {
            headers.insert(Header { key: SIGNATURE, value: Some(value) })
        });
        let (key, payload) = (Some(self.key.as_bytes()), Some(self.payload.as_bytes()));
        let brokers = membership.setting("KAFKA_BROKERS");
        kafka::write(brokers, &self.topic, key, payload, headers).await;
    }

    /// Waits until it is in the dead-letter topic, which has the letters of other processes too.
    pub async fn arrives_as_dead_letter(&self, membership: &Membership) {
        let (brokers, topic) = (membership.setting("KAFKA_BROKERS"), format!("{}.dlq", self.topic));
        eventually(format!("a dead letter: {}", self.payload), async || {
            let count = kafka::count(brokers, &topic).await;
            let letters = kafka::stored(brokers, &topic, count as usize).await;
            let payload = Some(self.payload.as_bytes());
            letters.iter().any(|letter| letter.payload.as_deref() == payload)
        })
        .await;
    }
}
