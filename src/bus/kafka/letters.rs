//! Dead letters: the whole message, or a stub if it is too large, or only a log line and a count if Kafka refuses
//! both.

use super::producer::may_lack_its_topic;
use super::{BusError, Shared, Topic};
use crate::messages::{Message, Original, Reason};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Maximum attempts to write a dead letter that Kafka refuses while it answers.
const ATTEMPTS_MAX: usize = 3;

/// The pause before the next attempt.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// How long no dead letter of a topic is tried after one was dropped: many refused ones must not block the topic.
const GIVEN_UP_FOR: Duration = Duration::from_secs(30);

/// When a dead letter of a topic was last dropped.
#[derive(Default)]
pub(super) struct Letters(Mutex<HashMap<Topic, Instant>>);

impl Letters {
    fn are_given_up(&self, topic: Topic) -> bool {
        let given_up = self.0.lock();
        given_up.get(&topic).is_some_and(|since| since.elapsed() < GIVEN_UP_FOR)
    }

    fn give_up(&self, topic: Topic) {
        self.0.lock().insert(topic, Instant::now());
    }
}

/// Why a dead letter was not written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Place(#[from] BusError),
}

impl Unwritten {
    fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Kafka(KafkaError::MessageProduction(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::MessageBatchTooLarge
            ))
        )
    }
}

impl Shared {
    /// Writes a dead letter. Fails only while Kafka does not answer.
    pub(super) async fn write_dead_letter(
        &self,
        topic: Topic,
        message: &Message,
        reason: &str,
    ) -> Result<(), BusError> {
        let reason = Reason::from(reason);
        let (partition, offset) =
            message.origin.as_ref().map(|origin| (origin.partition, origin.offset)).unzip();
        if self.clients.log.is_due(&format!("dead letter {}", topic.as_str())) {
            warn!(topic = topic.as_str(), partition, offset, %reason, "a message became a dead letter");
        } else {
            debug!(topic = topic.as_str(), partition, offset, %reason, "a message became a dead letter");
        }
        let Err(error) = self.write_letter(topic, message, &reason).await? else { return Ok(()) };
        self.metrics.count_dead_letter_lost(topic);
        if self.clients.log.is_due(&format!("lost {}", topic.as_str())) {
            warn!(
                topic = topic.as_str(), partition, offset, %error,
                "a dead letter cannot be written; its message stays in its topic"
            );
        }
        Ok(())
    }

    /// Writes a dead letter, in up to [`ATTEMPTS_MAX`] attempts. The inner error means that it is dropped.
    async fn write_letter(
        &self,
        topic: Topic,
        message: &Message,
        reason: &Reason,
    ) -> Result<Result<(), Unwritten>, BusError> {
        if self.letters.are_given_up(topic) {
            return Ok(Err(BusError(
                "dead letters of this topic were refused; they are tried again later".into(),
            )
            .into()));
        }
        let (from, origin) = (self.topics.name(topic), message.origin.as_ref());
        let whole = message.original();
        let mut letter = whole.clone().into_dead_letter(from, reason, origin);
        let mut is_stub = false;
        let mut attempt = 1;
        loop {
            let Err(error) = self.try_letter(topic, &letter).await else { return Ok(Ok(())) };
            if error.is_too_large() && !is_stub {
                letter = whole.clone().into_stub().into_dead_letter(from, reason, origin);
                is_stub = true;
                continue;
            }
            self.ping().await?;
            if attempt == ATTEMPTS_MAX {
                self.letters.give_up(topic);
                return Ok(Err(error));
            }
            attempt += 1;
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
    }

    async fn try_letter(&self, topic: Topic, letter: &Original) -> Result<(), Unwritten> {
        self.dead_letters_exist(topic).await?;
        let place = self.topics.dead_letters(topic);
        let sent = self.producer.send_bytes(&self.clients, &place, letter).await;
        if sent.as_ref().is_err_and(may_lack_its_topic) {
            // The next attempt recreates the topic if it was deleted.
            self.topics.forget(&place);
        }
        Ok(sent?)
    }
}

/// Headers as Kafka takes them.
pub(super) fn headers_of(letter: &Original) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(letter.headers.len());
    letter.headers.iter().fold(headers, |headers, (name, value)| {
        headers.insert(Header { key: name, value: value.as_ref() })
    })
}
