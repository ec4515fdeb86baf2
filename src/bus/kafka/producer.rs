//! Publishing: a whole batch is handed to librdkafka at once, then all its receipts are awaited.

use super::client::{Clients, DropInBackground, Log};
use super::topics::says_missing;
use super::{BusError, Message, letters, wire};
use crate::messages::{Original, Signatures};
use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Idempotence implies `acks=all` and keeps the order of each partition across retries. The
/// partitioner is that of Java clients, so that other teams' messages of a key go where ours go.
/// Batches arrive as batches, and are handed over within the half millisecond that each partition
/// waits for more: without it a request leaves with the first message of each, and Kafka works a
/// fifth more for a booking. Longer only costs: with 1 ms and more, one message took 1.4 ms for 0.3.
const SETTINGS: [(&str, &str); 6] = [
    ("enable.idempotence", "true"),
    ("linger.ms", "0.5"),
    ("compression.type", "lz4"),
    ("message.timeout.ms", "5000"),
    ("partitioner", "murmur2_random"),
    ("message.max.bytes", MESSAGE_BYTES_MAX),
];

/// The largest message that a broker takes by default: `message.max.bytes` of Kafka.
const MESSAGE_BYTES_MAX: &str = "1048588";

/// Messages that are handed over in one go, before other tasks have their turn.
const TURN: usize = 256;

/// The pause before another try where librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// A running client; it ends with its last user.
pub(super) type Client = Arc<DropInBackground<ThreadedProducer<Acknowledged>>>;

/// The one producer of a bus.
pub(super) struct Producer(RwLock<Client>);

fn client(clients: &Clients) -> Result<Client, BusError> {
    let context = Acknowledged(clients.log.clone());
    let producer: ThreadedProducer<_> = clients.config(&SETTINGS).create_with_context(context)?;
    Ok(Arc::new(producer.into()))
}

impl Producer {
    pub(super) fn new(clients: &Clients) -> Result<Self, BusError> {
        Ok(Self(RwLock::new(client(clients)?)))
    }

    pub(super) fn current(&self) -> Client {
        self.0.read().clone()
    }

    /// Sends messages, each to its topic; done when Kafka has all of them, or none is under way any
    /// more. A message is tried for `message.timeout.ms`.
    pub(super) async fn send(
        &self,
        clients: &Clients,
        signatures: Option<&Signatures>,
        messages: &[(&str, &Message)],
    ) -> Result<(), KafkaError> {
        let client = self.current();
        let receipt = Arc::new(Receipt::default());
        for (count, (topic, message)) in messages.iter().enumerate() {
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let signature = signatures.map(|secrets| secrets.sign(topic, message));
            let record = BaseRecord::with_opaque_to(topic, receipt.clone())
                .key(message.key.as_bytes())
                .payload(message.payload.as_bytes())
                .headers(wire::headers_of(message, signature.as_deref()));
            if !hand_over(&client, record, &receipt).await {
                break;
            }
        }
        self.settled(clients, &client, &receipt).await
    }

    /// Sends one message that may be no text.
    pub(super) async fn send_bytes(
        &self,
        clients: &Clients,
        topic: &str,
        message: &Original,
    ) -> Result<(), KafkaError> {
        let client = self.current();
        let receipt = Arc::new(Receipt::default());
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, receipt.clone())
            .headers(letters::headers_of(message));
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        hand_over(&client, record, &receipt).await;
        self.settled(clients, &client, &receipt).await
    }

    async fn settled(
        &self,
        clients: &Clients,
        client: &Client,
        receipt: &Receipt,
    ) -> Result<(), KafkaError> {
        let outcome = receipt.settled(client).await;
        if outcome.is_err()
            && let Err(error) = self.replace_if_broken(clients, client)
        {
            warn!(%error, "no new producer");
        }
        outcome
    }

    /// After some errors an idempotent producer takes nothing any more; a new one does.
    fn replace_if_broken(&self, clients: &Clients, used: &Client) -> Result<(), BusError> {
        let Some((code, reason)) = used.client().fatal_error() else { return Ok(()) };
        if self.replace(clients, used)? {
            warn!(%code, reason, "the producer is beyond help; a new one takes its place");
        }
        Ok(())
    }

    /// Puts a new client in the place of the one that was used, unless another has been put there. Says
    /// whether it did. What is under way ends with the used one.
    pub(super) fn replace(&self, clients: &Clients, used: &Client) -> Result<bool, BusError> {
        let mut current = self.0.write();
        let is_current = Arc::ptr_eq(&current, used);
        if is_current {
            *current = client(clients)?;
        }
        Ok(is_current)
    }
}

/// Hands one message over, once there is room; says whether to go on with the next.
async fn hand_over(
    client: &Client,
    mut record: BaseRecord<'_, [u8], [u8], Arc<Receipt>>,
    receipt: &Receipt,
) -> bool {
    receipt.outstanding.fetch_add(1, Ordering::AcqRel);
    loop {
        if receipt.has_failed() {
            receipt.acknowledge(Ok(()));
            return false;
        }
        match client.send(record) {
            Ok(()) => return true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                tokio::time::sleep(FULL_PAUSE).await;
            }
            Err((error, _)) => {
                receipt.acknowledge(Err(error));
                return false;
            }
        }
    }
}

/// Counts the messages of one batch that Kafka has not yet answered for.
#[derive(Default)]
pub(super) struct Receipt {
    outstanding: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    /// All are answered for, or the first one failed.
    changed: Notify,
}

impl Receipt {
    fn failure(&self) -> Option<KafkaError> {
        self.failure.lock().clone()
    }

    fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn acknowledge(&self, outcome: Result<(), KafkaError>) {
        if let Err(error) = outcome {
            self.failure.lock().get_or_insert(error);
            self.changed.notify_one();
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_one();
        }
    }

    /// Waits for all; gives the first failure.
    async fn settled(&self, client: &Client) -> Result<(), KafkaError> {
        let mut is_purged = false;
        while self.outstanding.load(Ordering::Acquire) > 0 {
            self.changed.notified().await;
            let failure = self.failure();
            let timed_out =
                matches!(failure, Some(KafkaError::MessageProduction(code)) if is_time_out(code));
            if timed_out && !is_purged {
                // Those behind it would overtake it if Kafka came back just now.
                client.purge(PurgeConfig::default().queue().non_blocking());
                is_purged = true;
            }
        }
        self.failure().map_or(Ok(()), Err)
    }
}

fn is_time_out(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::MessageTimedOut
}

/// Whether a message may not have gone out because its topic is not there. librdkafka says so of topics
/// that it has known for a while; for others it waits until the message's time is over.
pub(super) fn may_lack_its_topic(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| is_time_out(code) || says_missing(code))
}

/// Passes on what became of each message.
pub(super) struct Acknowledged(Log);

impl ClientContext for Acknowledged {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        self.0.log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Arc<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Arc<Receipt>) {
        receipt.acknowledge(result.as_ref().map(drop).map_err(|(error, _)| error.clone()));
    }
}
