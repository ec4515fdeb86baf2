//! Dead letters: the message as received, or, if it is too large, a stub that identifies it.

use super::{Headers, Message, Origin};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Maximum length of a reason, in characters: it is a header and a log field.
const REASON_MAX: usize = 200;

/// Number of bytes of a key or payload that a stub keeps.
const SHOWN_MAX: usize = 1_024;

/// Why a message becomes a dead letter: one bounded line, without the message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self(plain.take(REASON_MAX).collect())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A received message that text can't represent: binary, without a value, or too large to keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Original {
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Digest of the value, if only its beginning is kept.
    pub digest: Option<Digest>,
}

/// Identifies a value of which only the beginning is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// SHA-256, as hexadecimal digits.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: usize,
}

impl Digest {
    fn of(payload: &[u8]) -> Self {
        Self { sha256: hexadecimal(&Sha256::digest(payload)), bytes: payload.len() }
    }
}

/// Two lower-case digits a byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        text.extend([digit(byte >> 4), digit(byte & 15)]);
        text
    })
}

impl Original {
    /// A stub: the beginning of a key and of a value, and the value's digest.
    pub fn stub(key: Option<&[u8]>, payload: Option<&[u8]>) -> Self {
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(SHOWN_MAX)].to_vec();
        Self {
            key: key.map(shown),
            payload: payload.map(shown),
            headers: Vec::new(),
            digest: payload.map(Digest::of),
        }
    }

    /// A stub of this message. A stub stays as it is.
    #[must_use]
    pub fn into_stub(self) -> Self {
        if self.digest.is_some() {
            return self;
        }
        Self::stub(self.key.as_deref(), self.payload.as_deref())
    }

    /// Adds headers with its origin and the reason.
    #[must_use]
    pub fn into_dead_letter(
        mut self,
        topic: &str,
        reason: &Reason,
        origin: Option<&Origin>,
    ) -> Self {
        let mut headers = Headers::default();
        headers.push_dead_letter(topic, reason, origin);
        if let Some(digest) = &self.digest {
            headers.push("dlq_sha256", digest.sha256.clone());
            headers.push("dlq_bytes", digest.bytes.to_string());
        }
        self.headers.extend(headers.owned());
        self
    }
}

impl Headers {
    /// Names and values as an [`Original`] holds them.
    fn owned(&self) -> impl Iterator<Item = (String, Option<Vec<u8>>)> {
        self.iter().map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())))
    }

    fn push_dead_letter(&mut self, topic: &str, reason: &Reason, origin: Option<&Origin>) {
        self.push("dlq_reason", reason.0.clone());
        self.push("dlq_topic", topic);
        if let Some(Origin { partition, offset, .. }) = origin {
            self.push("dlq_partition", partition.to_string());
            self.push("dlq_offset", offset.to_string());
        }
    }
}

impl Message {
    /// The message as received: its bytes if they are kept, else its text.
    pub fn original(&self) -> Original {
        let kept = self.origin.as_ref().and_then(|origin| origin.original.as_deref());
        kept.cloned().unwrap_or_else(|| Original {
            key: Some(self.key.clone().into_bytes()),
            payload: Some(self.payload.clone().into_bytes()),
            headers: self.headers.owned().collect(),
            digest: None,
        })
    }

    /// The message as a dead letter, with its origin and the reason in its headers.
    #[must_use]
    pub fn as_dead_letter(mut self, topic: &str, reason: &Reason) -> Self {
        self.headers.push_dead_letter(topic, reason, self.origin.as_ref());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_200_characters() {
        let reason = Reason::from(format!("a\nb{}", "é".repeat(600_000)).as_str()).to_string();
        assert_eq!(reason.chars().count(), REASON_MAX);
        assert!(reason.starts_with("a bé"), "{reason}");
    }

    #[test]
    fn a_stub_shows_the_beginning_and_identifies_the_whole() {
        let stub = Original::stub(Some(&[7; 5_000]), Some(b"abc"));
        assert_eq!(stub.key.as_deref(), Some(&[7; SHOWN_MAX][..]));
        let digest = stub.digest.clone().expect("a digest");
        assert_eq!(digest.bytes, 3);
        // FIPS 180-2, appendix B.1.
        assert!(digest.sha256.starts_with("ba7816bf8f01cfea414140de5dae2223b00361a3"));
        assert_eq!(stub.clone().into_stub(), stub);
    }
}
