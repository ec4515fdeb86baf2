//! The port to a provider of messages.

use async_trait::async_trait;

/// A message as its provider takes it. Personal data: never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// The id of its row.
    pub(super) id: String,
    /// Address or number.
    pub(super) recipient: String,
    /// What the provider sends: a mail with its headers, or the text of an SMS.
    pub(super) body: Vec<u8>,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.id)
    }
}

/// What the provider said about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It has the message.
    Taken,
    /// It never takes this message, for this reason, which names nobody.
    Refused(String),
    /// It does not take this message now, for this reason.
    Later(String),
}

/// The provider does not work: it did not answer, or takes no message at all. It may have taken this one.
#[derive(Debug, thiserror::Error)]
#[error("the provider of messages failed: {0}")]
pub struct ProviderError(pub String);

/// Takes messages.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Hands over a message. A call that is dropped leaves open whether the provider has it.
    async fn hand_over(&self, letter: &Letter) -> Result<Said, ProviderError>;
}
