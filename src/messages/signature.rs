//! Signatures of messages: HMAC-SHA256 with a secret that all trusted writers of the topics share.
//!
//! The signed text is, in this order, the topic's name on Kafka, the key, `ce_id`, `ce_type` and the value,
//! each as a netstring: its length in bytes in decimal digits, a colon, the bytes, a comma. A missing part
//! is empty. `asyncapi.yaml` has an example.

use super::Message;
use super::dead_letter::hexadecimal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;

/// The header that holds a signature, as 64 lower-case hexadecimal digits.
pub const SIGNATURE: &str = "signature";

/// Signs messages and verifies signatures.
#[derive(Clone)]
pub struct Signatures {
    /// The first signs, all verify, so that secrets can be changed replica by replica.
    keys: Arc<[Hmac<Sha256>]>,
    is_required: bool,
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signatures({} keys, required: {})", self.keys.len(), self.is_required)
    }
}

impl Signatures {
    /// Signatures with these secrets (`EVENTS_SECRET`); `None` without any: nothing is signed or verified.
    /// `is_required` (`EVENTS_REQUIRE`): messages without a signature are refused.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, is_required: bool) -> Option<Self> {
        let key = |secret: &str| {
            Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")
        };
        let keys: Arc<[_]> = secrets.into_iter().map(key).collect();
        (!keys.is_empty()).then_some(Self { keys, is_required })
    }

    /// The signature of a message on a topic.
    pub fn sign(&self, topic: &str, message: &Message) -> String {
        hexadecimal(&signed(self.keys[0].clone(), topic, message).finalize().into_bytes())
    }

    /// What is wrong with a message's signature, if anything.
    pub fn fault(&self, topic: &str, message: &Message) -> Option<&'static str> {
        let Some(stated) = message.headers.get(SIGNATURE) else {
            return self.is_required.then_some("not signed, and EVENTS_REQUIRE is set");
        };
        // Compared in constant time.
        let is_ours = bytes_of(stated).is_some_and(|stated| {
            self.keys
                .iter()
                .any(|key| signed(key.clone(), topic, message).verify_slice(&stated).is_ok())
        });
        (!is_ours).then_some("its signature is by no secret of EVENTS_SECRET")
    }
}

fn signed(mut mac: Hmac<Sha256>, topic: &str, message: &Message) -> Hmac<Sha256> {
    let header = |name| message.headers.get(name).unwrap_or_default();
    let parts = [topic, &message.key, header("ce_id"), header("ce_type"), message.payload.as_str()];
    for part in parts {
        mac.update(part.len().to_string().as_bytes());
        mac.update(b":");
        mac.update(part.as_bytes());
        mac.update(b",");
    }
    mac
}

fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(16 * digit(0)? + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Headers;

    const OLD: &str = "an old secret of thirty-two bytes or more";
    const NEW: &str = "a new secret of thirty-two bytes or more!";

    fn signatures(secrets: &[&str], is_required: bool) -> Signatures {
        Signatures::new(secrets.iter().copied(), is_required).expect("a secret")
    }

    fn message() -> Message {
        let mut headers = Headers::default();
        headers.set("ce_id", "payment.completed/PAY-1");
        headers.set("ce_type", "payment.completed");
        Message { key: "42".into(), payload: r#"{"a":1}"#.into(), headers, origin: None }
    }

    fn signed_by(signer: &Signatures) -> Message {
        let mut message = message();
        let signature = signer.sign("t", &message);
        message.headers.set(SIGNATURE, signature);
        message
    }

    #[test]
    fn every_part_is_signed_and_no_two_can_be_shifted() {
        let signer = signatures(&[OLD], false);
        let sound = signed_by(&signer);
        assert_eq!(signer.fault("t", &sound), None);
        assert!(signer.fault("t2", &sound).is_some());
        let changed = |change: fn(&mut Message)| {
            let mut message = sound.clone();
            change(&mut message);
            signer.fault("t", &message)
        };
        let refused = Some("its signature is by no secret of EVENTS_SECRET");
        assert_eq!(changed(|message| message.key = "43".into()), refused);
        assert_eq!(changed(|message| message.payload.push(' ')), refused);
        assert_eq!(changed(|message| message.headers.set("ce_id", "")), refused);
        assert_eq!(changed(|message| message.headers.set("ce_type", "payment.failed")), refused);
        assert_eq!(changed(|message| message.headers.set(SIGNATURE, "")), refused);
        assert_eq!(changed(|message| message.headers.set(SIGNATURE, "z".repeat(64))), refused);
        let shifted = |message: &mut Message| {
            message.key = "4".into();
            message.headers.set("ce_id", "2payment.completed/PAY-1");
        };
        assert_eq!(changed(shifted), refused);
    }

    #[test]
    fn an_unsigned_message_passes_only_where_signatures_are_not_required() {
        assert_eq!(signatures(&[OLD], false).fault("t", &message()), None);
        assert!(signatures(&[OLD], true).fault("t", &message()).is_some());
        assert!(Signatures::new([], true).is_none());
    }

    #[test]
    fn secrets_change_step_by_step_and_neighbours_always_understand_each_other() {
        let steps: [&[&str]; 4] = [&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]];
        let steps = steps.map(|secrets| signatures(secrets, true));
        for pair in steps.windows(2) {
            for (signer, judge) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                assert_eq!(judge.fault("t", &signed_by(signer)), None);
            }
        }
        assert!(steps[3].fault("t", &signed_by(&steps[0])).is_some());
    }
}
