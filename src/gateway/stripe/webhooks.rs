//! Stripe's webhooks: signed events. One tells which payment, refund or dispute changed, and nothing else of it is
//! believed.
//!
//! The header is `t=SECONDS,v1=HEX[,v1=HEX]`: HMAC-SHA256 of `SECONDS.BODY` with a secret of the endpoint. Several
//! secrets are known while one is replaced.

use crate::clock::Clock;
use crate::domain::{PaymentReference, RefundId};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use std::sync::Arc;

/// Maximum age of an event, and how far its clock may be ahead, in seconds: an old event that someone has kept is
/// refused.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// The header that holds the signatures.
pub const SIGNATURE: &str = "stripe-signature";

/// Checks the signatures of events.
#[derive(Clone)]
pub struct Webhooks {
    keys: Vec<Hmac<Sha256>>,
    clock: Arc<dyn Clock>,
}

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The header is missing, or not as Stripe writes it.
    #[error("the Stripe-Signature header is missing or malformed")]
    Unsigned,
    /// No secret made any of the signatures.
    #[error("no signature is by a secret of STRIPE_WEBHOOK_SECRETS")]
    Forged,
    /// Its time is more than five minutes away.
    #[error("the event was signed more than five minutes ago, or in the future")]
    Stale,
    /// The body is not an event.
    #[error("the body is not an event")]
    Malformed,
}

/// The parts of an event that are read.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Option<Metadata>,
    payment_intent: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    reference: Option<String>,
    refund_id: Option<String>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A payment.
    Payment(PaymentReference),
    /// A refund.
    Refund(RefundId),
    /// A dispute of the payment intent with this id of Stripe's.
    Dispute(String),
}

impl Webhooks {
    /// Webhooks signed with any of these secrets (`STRIPE_WEBHOOK_SECRETS`).
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, clock: Arc<dyn Clock>) -> Self {
        let key = |secret: &str| {
            Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")
        };
        Self { keys: secrets.into_iter().map(key).collect(), clock }
    }

    /// What an event is about; `None` if it is about nothing of the service.
    pub fn news_of(&self, signature: Option<&str>, body: &[u8]) -> Result<Option<News>, Refused> {
        self.check(signature.ok_or(Refused::Unsigned)?, body)?;
        let event: Event = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let Object { metadata, payment_intent } = event.data.object;
        Ok(match event.kind.split_once('.') {
            Some(("payment_intent", _)) => {
                metadata.and_then(|its| its.reference?.parse().ok()).map(News::Payment)
            }
            Some(("refund", _) | ("charge", "refund.updated")) => {
                metadata.and_then(|its| its.refund_id?.parse().ok()).map(News::Refund)
            }
            Some(("charge", about)) if about.starts_with("dispute.") => {
                payment_intent.filter(|id| is_plain(id)).map(News::Dispute)
            }
            _ => None,
        })
    }

    fn check(&self, header: &str, body: &[u8]) -> Result<(), Refused> {
        let of = |name| {
            let pairs = header.split(',').filter_map(|pair| pair.trim().split_once('='));
            pairs.filter_map(move |(its, value)| (its == name).then_some(value))
        };
        let time = of("t").next().ok_or(Refused::Unsigned)?;
        let seconds: i64 = time.parse().map_err(|_| Refused::Unsigned)?;
        let is_signed = of("v1").filter_map(bytes_of).any(|stated| {
            self.keys.iter().any(|key| {
                let signed = key.clone().chain_update(time).chain_update(b".");
                // Compared in constant time.
                signed.chain_update(body).verify_slice(&stated).is_ok()
            })
        });
        if !is_signed {
            return Err(Refused::Forged);
        }
        let is_fresh = self.clock.now().timestamp().abs_diff(seconds) <= TOLERANCE_SECONDS;
        if is_fresh { Ok(()) } else { Err(Refused::Stale) }
    }
}

/// Whether an id can be a part of a path as it is.
fn is_plain(id: &str) -> bool {
    id.len() <= 255 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn bytes_of(hexadecimal: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_sound = hexadecimal.len() == 64 && hexadecimal.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_sound {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hexadecimal[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":
        {"id":"pi_1","metadata":{"reference":"PAY-00000000000000000000000000000007"}}}}"#;

    fn webhooks(secrets: &[&str], now: i64) -> Webhooks {
        let now = Timestamp::from_timestamp(now, 0).expect("an instant");
        Webhooks::new(secrets.iter().copied(), Arc::new(ManualClock::at(now)))
    }

    fn signature(secret: &str, time: i64, body: &[u8]) -> String {
        let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).expect("a key");
        let mac = mac.chain_update(format!("{time}.")).chain_update(body);
        mac.finalize()
            .into_bytes()
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn an_event_is_taken_by_any_secret_and_any_of_its_signatures() {
        let webhooks = webhooks(&["whsec_new", "whsec_old"], 1_300);
        let payment = Some(News::Payment(PaymentReference::from_bits(7)));
        for secret in ["whsec_new", "whsec_old"] {
            let right = signature(secret, 1_000, BODY);
            for header in [
                format!("t=1000,v1={right}"),
                format!("t=1000,v1={},v1={right},v0=abc", signature("whsec_x", 1_000, BODY)),
            ] {
                assert_eq!(webhooks.news_of(Some(&header), BODY), Ok(payment.clone()));
            }
        }
    }

    #[test]
    fn a_forged_stale_or_malformed_event_is_refused() {
        let right = signature("whsec_new", 1_000, BODY);
        let told = |header: &str, body: &[u8], now| {
            webhooks(&["whsec_new"], now).news_of(Some(header), body).expect_err(header)
        };
        let header = format!("t=1000,v1={right}");
        let unsigned = webhooks(&["whsec_new"], 1_000).news_of(None, BODY);
        assert_eq!(unsigned, Err(Refused::Unsigned));
        for malformed in ["", "v1=ab", &format!("t=x,v1={right}"), "t"] {
            assert_eq!(told(malformed, BODY, 1_000), Refused::Unsigned, "{malformed}");
        }
        for forged in [
            "t=1000".to_owned(),
            "t=1000,v1=ab".to_owned(),
            format!("t=1001,v1={right}"),
            format!("t=1000,v0={right}"),
            format!("t=1000,v1={}", "é".repeat(32)),
            format!("t=1000,v1={}", signature("whsec_other", 1_000, BODY)),
        ] {
            assert_eq!(told(&forged, BODY, 1_000), Refused::Forged, "{forged}");
        }
        assert_eq!(told(&header, b"{}", 1_000), Refused::Forged);
        for now in [1_301, 699] {
            assert_eq!(told(&header, BODY, now), Refused::Stale);
        }
        let header = format!("t=1000,v1={}", signature("whsec_new", 1_000, b"[]"));
        assert_eq!(told(&header, b"[]", 1_000), Refused::Malformed);
    }

    #[test]
    fn an_event_about_no_payment_of_ours_is_none() {
        let webhooks = webhooks(&["whsec_new"], 1_000);
        for body in [
            &br#"{"type":"customer.created","data":{"object":{"metadata":{"reference":"PAY-00000000000000000000000000000007"}}}}"#[..],
            br#"{"type":"payment_intent.created","data":{"object":{"metadata":{"reference":"other"}}}}"#,
            br#"{"type":"payment_intent.created","data":{"object":{"metadata":{}}}}"#,
        ] {
            let header = format!("t=1000,v1={}", signature("whsec_new", 1_000, body));
            assert_eq!(webhooks.news_of(Some(&header), body), Ok(None));
        }
    }
}
