//! The secret of a webhook, as Standard Webhooks writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::sync::Arc;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Signs what is sent to a webhook: `whsec_` and the base64 of 24 to 64 random bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Arc<str>);

impl SigningSecret {
    /// The secret of these random bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(bytes)).into())
    }

    /// Reads a secret; `None` for a text of another form.
    pub fn read(text: &str) -> Option<Self> {
        let secret = Self(text.into());
        secret.key().is_some_and(|key| (24..=64).contains(&key.len())).then_some(secret)
    }

    /// The text itself, for the partner and the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The bytes that sign; `None` if the text is no secret.
    pub fn key(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.0.strip_prefix(PREFIX)?).ok()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_written_and_never_printed() {
        let secret = SigningSecret::of(&[7; 32]);
        assert_eq!(SigningSecret::read(secret.expose()), Some(secret.clone()));
        assert_eq!(secret.key(), Some(vec![7; 32]));
        assert_eq!(format!("{secret:?}"), "whsec_…");
        for text in ["", "whsec_", "whsec_AAAA", "whsec_?", &secret.expose()[1..]] {
            assert_eq!(SigningSecret::read(text), None, "{text}");
        }
    }
}
