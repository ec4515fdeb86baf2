//! The broker: topics of a few partitions, each a log that is never cut. It outlives the replicas.

use super::super::process::Process;
use super::group::{Group, MemberId};
use airline_booking::messages::{Message, Origin, Reason, Topic};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Partitions of each topic.
pub const PARTITIONS: usize = 3;

/// A topic's partitions.
pub type Logs = [Vec<Record>; PARTITIONS];

/// A message in a log.
#[derive(Debug, Clone)]
pub struct Record {
    /// The message, as a consumer gets it.
    pub message: Message,
    /// When consumers see it; until then it holds up those behind it, as in Kafka.
    pub visible_at: Instant,
    /// Whether a foreign producer wrote it.
    pub is_foreign: bool,
}

/// A message that a consumer gave up.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its topic.
    pub topic: Topic,
    /// The message, with the reason in its headers.
    pub message: Message,
    /// Whether a foreign producer wrote it. Another becomes a dead letter by mistake, unless it answers a foreign request:
    /// a true one under another booking's number is carried out, and its event fits no booking.
    pub is_foreign: bool,
}

/// The broker that all replicas share. A clone is the same broker.
#[derive(Clone, Default)]
pub struct Broker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    topics: BTreeMap<Topic, Channel>,
    letters: Mutex<Vec<Letter>>,
}

#[derive(Default)]
pub(super) struct Channel {
    state: Mutex<State>,
    /// Notified when consumers should look again.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    logs: Logs,
    /// Messages that are appended later, by their time and order.
    later: BTreeMap<(Instant, u64), (usize, Record)>,
    groups: BTreeMap<String, Group>,
    /// Messages to append later, and members, so far.
    drawn: u64,
}

/// What a look for messages finds.
pub(super) enum Found {
    Messages(Vec<Message>),
    /// None yet; the next look is due at this time, or when something changes.
    Nothing(Option<Instant>),
}

impl Broker {
    /// An empty broker.
    pub fn new() -> Self {
        let topics = Topic::ALL.map(|topic| (topic, Channel::default()));
        Self(Arc::new(Shared { topics: topics.into(), letters: Mutex::default() }))
    }

    /// Whether no message is on its way: every group of every topic has done all that was published.
    pub fn is_idle(&self) -> bool {
        self.0.topics.values().all(|channel| {
            let state = channel.advanced();
            state.later.is_empty() && state.groups.values().all(|group| group.is_done(&state.logs))
        })
    }

    /// Every message ever published on a topic, by partition and offset.
    pub fn published(&self, topic: Topic) -> Vec<Record> {
        let state = self.channel(topic).advanced();
        state.logs.iter().flatten().cloned().collect()
    }

    /// The dead letters, oldest first.
    pub fn dead_letters(&self) -> Vec<Letter> {
        self.0.letters.lock().clone()
    }

    /// Appends a message of a foreign producer at once.
    pub fn publish_foreign(&self, topic: Topic, message: Message) {
        let partition = partition_of(&message.key);
        self.channel(topic).append([(partition, message, Instant::now(), true)]);
    }

    pub(super) fn channel(&self, topic: Topic) -> &Channel {
        self.0.topics.get(&topic).expect("the broker has every topic")
    }

    pub(super) fn add_dead_letter(&self, topic: Topic, message: &Message, reason: &str) {
        let is_foreign = message.origin.as_ref().is_some_and(|origin| {
            let log = &self.channel(topic).state.lock().logs[origin.partition as usize];
            log[origin.offset as usize].is_foreign
        });
        let message = message.clone().as_dead_letter(topic.as_str(), &Reason::from(reason));
        self.0.letters.lock().push(Letter { topic, message, is_foreign });
    }
}

/// The partition of a key: all messages of a key are in one. FNV-1a.
pub(super) fn partition_of(key: &str) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash % PARTITIONS as u64) as usize
}

impl Channel {
    /// The state as of now.
    fn advanced(&self) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.advance(Instant::now());
        state
    }

    /// Appends messages: partition, message, when it is visible, whether it is foreign.
    pub(super) fn append(
        &self,
        messages: impl IntoIterator<Item = (usize, Message, Instant, bool)>,
    ) {
        let mut state = self.advanced();
        for (partition, message, visible_at, is_foreign) in messages {
            state.push(partition, Record { message, visible_at, is_foreign });
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Appends a message at a later time.
    pub(super) fn append_later(&self, partition: usize, message: Message, at: Instant) {
        let mut state = self.state.lock();
        state.drawn += 1;
        let place = (at, state.drawn);
        let record = Record { message, visible_at: at, is_foreign: false };
        state.later.insert(place, (partition, record));
        drop(state);
        // Those that wait learn of the new time.
        self.changed.notify_waiters();
    }

    /// The group's name becomes known: from now on it must see every message.
    pub(super) fn open_group(&self, name: &str) {
        self.state.lock().groups.entry(name.to_owned()).or_default();
    }

    pub(super) fn join(&self, group: &str, process: &Process) -> MemberId {
        let mut state = self.advanced();
        state.drawn += 1;
        let id = state.drawn;
        state.groups.entry(group.to_owned()).or_default().join(id, process.clone());
        drop(state);
        self.changed.notify_waiters();
        id
    }

    /// Does something with a group, and tells its members to look again.
    pub(super) fn with_group<T>(&self, group: &str, act: impl FnOnce(&mut Group) -> T) -> T {
        let mut state = self.advanced();
        let done = act(state.groups.entry(group.to_owned()).or_default());
        drop(state);
        self.changed.notify_waiters();
        done
    }

    pub(super) fn take(&self, group: &str, id: MemberId, max: usize, first: usize) -> Found {
        let now = Instant::now();
        let mut state = self.advanced();
        let State { logs, groups, .. } = &mut *state;
        let group = groups.get_mut(group).expect("the member has joined it");
        let taken = group.take(id, logs, now, max, first);
        if !taken.is_empty() {
            let record = |(partition, offset): (usize, usize)| &logs[partition][offset];
            return Found::Messages(
                taken.into_iter().map(|place| record(place).message.clone()).collect(),
            );
        }
        let times = [group.next_visible(id, logs), group.next_expiry(), state.next_later()];
        Found::Nothing(times.into_iter().flatten().min())
    }

    /// The end of each partition.
    pub(super) fn ends(&self) -> [usize; PARTITIONS] {
        self.advanced().logs.each_ref().map(Vec::len)
    }

    /// Messages from these offsets on, which move behind what is returned.
    pub(super) fn listen(&self, next: &mut [usize; PARTITIONS], max: usize) -> Found {
        let now = Instant::now();
        let state = self.advanced();
        let mut heard = Vec::new();
        for (log, next) in state.logs.iter().zip(next.iter_mut()) {
            let visible = log[*next..].iter().take_while(|record| record.visible_at <= now);
            let before = heard.len();
            heard.extend(visible.take(max - before).map(|record| record.message.clone()));
            *next += heard.len() - before;
        }
        if !heard.is_empty() {
            return Found::Messages(heard);
        }
        let logs = state.logs.iter().zip(next.iter());
        let visible = logs.filter_map(|(log, next)| log.get(*next)).map(|record| record.visible_at);
        Found::Nothing(visible.chain(state.next_later()).min())
    }

    /// A message of the log, for foreign producers to change: the last of a partition.
    pub(super) fn sample(&self, partition: usize) -> Option<Message> {
        self.last(partition, |_| true)
    }

    /// The last message of a partition that is such a one.
    pub(super) fn last(
        &self,
        partition: usize,
        is_such: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        let state = self.state.lock();
        let messages = state.logs[partition].iter().rev().map(|record| &record.message);
        messages.into_iter().find(|message| is_such(message)).cloned()
    }
}

impl State {
    /// Does what is due: late messages, ends of sessions.
    fn advance(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let (partition, record) = entry.remove();
            self.push(partition, record);
        }
        for group in self.groups.values_mut() {
            group.expire(now);
        }
    }

    fn push(&mut self, partition: usize, mut record: Record) {
        let log = &mut self.logs[partition];
        let origin = record.message.origin.take();
        let mut place = origin.unwrap_or(Origin::of_text(0, 0));
        (place.partition, place.offset) = (partition as i32, log.len() as i64);
        record.message.origin = Some(place);
        log.push(record);
    }

    fn next_later(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }
}
