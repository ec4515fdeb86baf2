//! Readers of the log: a few clients that seek in `airline-events` and belong to no group.

use super::super::log::{Kept, Reading};
use super::super::{Cursor, LogError, LogPage, LogQuery, PAGE_TIME_MAX};
use super::client::{DropInBackground, Log};
use super::listener::partitions;
use super::offsets::list_of;
use super::positions::bounds_of;
use super::{BusError, Shared, Topic, wire};
use crate::domain::Timestamp;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum readers at the same time: each is a client with connections and threads of its own.
const READERS_MAX: usize = 4;

/// The page of a reader has records of all partitions soon, and an idle one fetches nothing: the broker answers at
/// once. A position that does not exist is an error, never another place.
const SETTINGS: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("fetch.wait.max.ms", "10"),
    ("queued.max.messages.kbytes", "8192"),
];

/// Time limit for Kafka to tell where the topic begins and ends, and for the first records of a page.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// How long one look for a record takes.
const POLL: Duration = Duration::from_millis(20);

type Client = DropInBackground<BaseConsumer<Log>>;

/// The readers of one bus.
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    /// Those that read nothing now, each with the topic's generation when it was made.
    idle: Mutex<Vec<(u64, Client)>>,
}

impl Default for Readers {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(READERS_MAX)), idle: Mutex::default() }
    }
}

impl Readers {
    /// A permit to read; waits for one if `is_patient`.
    async fn permit(&self, is_patient: bool) -> Result<OwnedSemaphorePermit, LogError> {
        let permits = self.permits.clone();
        if is_patient {
            return Ok(permits.acquire_owned().await.expect("the semaphore is never closed"));
        }
        permits.try_acquire_owned().map_err(|_| LogError::Busy)
    }

    /// An idle reader of this generation of the topic. Older ones end.
    fn idle(&self, generation: u64) -> Option<Client> {
        let mut idle = self.idle.lock();
        idle.retain(|(made_in, _)| *made_in == generation);
        idle.pop().map(|(_, client)| client)
    }
}

/// What a reader reads.
#[derive(Clone)]
enum Wanted {
    Page(LogQuery),
    End(Timestamp),
}

impl Shared {
    /// A page of the log.
    pub(super) async fn read_log(self: &Arc<Self>, query: LogQuery) -> Result<LogPage, LogError> {
        let is_patient = query.is_patient;
        self.read_events(Wanted::Page(query), is_patient).await
    }

    /// The place behind the newest event.
    pub(super) async fn log_end(self: &Arc<Self>, now: Timestamp) -> Result<Cursor, LogError> {
        Ok(self.read_events(Wanted::End(now), true).await?.next)
    }

    async fn read_events(
        self: &Arc<Self>,
        wanted: Wanted,
        is_patient: bool,
    ) -> Result<LogPage, LogError> {
        self.topics_exist().await?;
        let permit = self.readers.permit(is_patient).await?;
        let (shared, generation) = (self.clone(), self.topics.generation(Topic::AirlineEvents));
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            shared.read_blocking(wanted, generation)
        });
        reading.await.map_err(|error| BusError(error.to_string()))?
    }

    /// Reads with an idle client, or a new one if there is none or it fails: a client may be stuck on a topic that was
    /// deleted and made again.
    fn read_blocking(&self, wanted: Wanted, generation: u64) -> Result<LogPage, LogError> {
        if let Some(client) = self.readers.idle(generation) {
            let page = self.read_by(client, wanted.clone(), generation);
            if page.is_ok() {
                return page;
            }
        }
        self.read_by(self.reader()?.into(), wanted, generation)
    }

    /// Reads with a client, which is idle afterwards, or ends if it failed.
    fn read_by(
        &self,
        client: Client,
        wanted: Wanted,
        generation: u64,
    ) -> Result<LogPage, LogError> {
        let page = self.read_with(&client, wanted);
        if page.is_ok() && client.unassign().is_ok() {
            self.readers.idle.lock().push((generation, client));
        }
        page
    }

    fn reader(&self) -> Result<BaseConsumer<Log>, BusError> {
        let mut config = self.clients.config(&SETTINGS);
        let config = config.set("group.id", &self.group_id);
        Ok(config.create_with_context(self.clients.log.clone())?)
    }

    fn read_with(&self, client: &Client, wanted: Wanted) -> Result<LogPage, LogError> {
        let name = self.topics.name(Topic::AirlineEvents);
        let kept = kept(client, name)?;
        let mut reading = match wanted {
            Wanted::Page(query) => Reading::begin(query, &kept)?,
            Wanted::End(now) => Reading::of_end(now, &kept),
        };
        let starts = reading.starts();
        if !starts.is_empty() {
            client
                .assign(&list_of(name, &starts).map_err(BusError::from)?)
                .map_err(BusError::from)?;
            self.take_records(client, &mut reading)?;
        }
        Ok(reading.finish())
    }

    /// Takes records until the page is done, or its time is up and it has some.
    fn take_records(&self, client: &Client, reading: &mut Reading) -> Result<(), LogError> {
        let began = Instant::now();
        while !reading.is_done() {
            let took = began.elapsed();
            if took >= ANSWER_MAX && !reading.has_some() {
                return Err(BusError("Kafka does not answer".into()).into());
            }
            if took >= PAGE_TIME_MAX && reading.has_some() {
                break;
            }
            match client.poll(POLL) {
                None => {}
                Some(Ok(record)) => {
                    let (message, _) = wire::message_of(&record, self.signatures.as_ref());
                    reading.take(record.partition(), record.offset(), message)?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => reading.skip_to_end(partition),
                // The client connects again by itself.
                Some(Err(error)) if !is_final(&error) => {}
                Some(Err(error)) => return Err(BusError::from(error).into()),
            }
        }
        Ok(())
    }
}

/// Whether an error ends the page: the next one finds out where the topic begins now.
fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let finals =
        [Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::Fatal, Code::UnknownPartition];
    error.rdkafka_error_code().is_some_and(|code| finals.contains(&code))
}

/// The kept records of each partition of the topic.
fn kept(client: &Client, name: &str) -> Result<BTreeMap<i32, Kept>, BusError> {
    let Some(all) = partitions(&**client, name, ANSWER_MAX)? else {
        return Err(BusError(format!("topic {name} is gone")));
    };
    // Each end after each beginning: a partition may be cut and grow meanwhile, and never has an end before its
    // beginning.
    let bound = |at| bounds_of(&**client, name, all.iter().copied(), at, ANSWER_MAX);
    let (lows, highs) = (bound(Offset::Beginning)?, bound(Offset::End)?);
    let kept = |(partition, low): (i32, i64)| {
        let high = highs.get(&partition).copied()?;
        Some((partition, Kept { low, high }))
    };
    Ok(lows.into_iter().filter_map(kept).collect())
}
