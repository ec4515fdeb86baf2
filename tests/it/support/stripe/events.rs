//! Events as Stripe sends and signs them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write as _;

/// The secret of the endpoint.
pub const WEBHOOK_SECRET: &str = "whsec_9f2c7d1e5b8a4036c1d7e9f2b5a80431";

/// An event about a payment's intent.
pub fn event(kind: &str, reference: &str) -> Value {
    let metadata = json!({"reference": reference});
    let object = json!({"id": "pi_1", "object": "payment_intent", "metadata": metadata});
    json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}})
}

/// An event about a refund.
pub fn refund_event(kind: &str, refund_id: &str) -> Value {
    let metadata = json!({"refund_id": refund_id});
    let object = json!({"id": "re_1", "object": "refund", "metadata": metadata});
    json!({"id": "evt_2", "object": "event", "type": kind, "data": {"object": object}})
}

/// An event about a dispute of an intent.
pub fn dispute_event(kind: &str, intent: &str) -> Value {
    let object =
        json!({"id": "dp_1", "object": "dispute", "payment_intent": intent, "metadata": {}});
    json!({"id": "evt_3", "object": "event", "type": kind, "data": {"object": object}})
}

/// The header of a body, signed at this time in seconds.
pub fn signature(secret: &str, time: i64, body: &str) -> String {
    let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).expect("a key");
    let signed = mac.chain_update(format!("{time}.{body}")).finalize().into_bytes();
    let mut header = format!("t={time},v1=");
    for byte in signed {
        write!(header, "{byte:02x}").expect("written");
    }
    header
}
