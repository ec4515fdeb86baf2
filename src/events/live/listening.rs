//! The listener of a process: hears events while there are streams, and hands them out in order, without a gap.

use super::super::shown::ShownEvent;
use super::looking::{LOOK_INTERVAL, Looks};
use super::{LiveEvents, Register};
use crate::bus::{BusError, Cursor, LogError, LogFilter, Mark, OUTAGE_PAUSE};
use crate::facts::{self, Fact, Named};
use crate::messages::{Message, Topic};
use crate::store::StoreError;
use std::collections::HashMap;
use std::convert::Infallible;
use tracing::{debug, warn};

/// Messages received at once.
const BATCH_SIZE_MAX: usize = 512;

/// Why a listener ends. All streams end with it, and their clients resume.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("there are no streams")]
    Idle,
    #[error("the topic was deleted and made again")]
    AnotherTopic,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LiveEvents {
    /// Listens whenever there are streams, until it is dropped.
    pub async fn run(&self) {
        loop {
            self.shared.wanted.notified().await;
            let Err(ended) = self.listen().await;
            self.shared.is_ready.send_replace(false);
            *self.shared.register.lock() = None;
            match ended {
                Ended::Idle => debug!("no event streams: nothing is heard any more"),
                ended => {
                    warn!(error = %ended, "event streams end; their clients resume");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                    self.shared.wanted.notify_one();
                }
            }
        }
    }

    async fn listen(&self) -> Result<Infallible, Ended> {
        let bus = &self.events.bus;
        let position = bus.log_end(self.clock.now()).await?;
        let last = |partition| (partition, position.next(partition) - 1);
        let mut heard: HashMap<_, _> = position.partitions().map(last).collect();
        let mut looks = Looks::begin(position.clone());
        *self.shared.register.lock() = Some(Register::at(position));
        let mut listener = bus.listen(Topic::AirlineEvents).await?;
        // What was published before the listener had its place.
        self.catch_up(None).await?;
        self.shared.is_ready.send_replace(true);
        loop {
            let messages = {
                let mut received = listener.receive(BATCH_SIZE_MAX);
                loop {
                    match tokio::time::timeout(LOOK_INTERVAL, &mut received).await {
                        Ok(messages) => break messages?,
                        Err(_) => self.look(&mut looks).await?,
                    }
                }
            };
            looks.hear(&messages);
            self.hear(messages, &mut heard).await?;
            listener.commit().await?;
            if looks.are_due() {
                self.look(&mut looks).await?;
            }
        }
    }

    /// Hands messages out. `heard`: the last offset of each partition that was received.
    async fn hear(
        &self,
        messages: Vec<Message>,
        heard: &mut HashMap<i32, i64>,
    ) -> Result<(), Ended> {
        let mut run = Vec::new();
        for message in messages {
            let Some(mark) = Mark::of(&message) else { continue };
            let before = heard.insert(mark.partition, mark.offset);
            if before.is_some_and(|before| before >= mark.offset) {
                return Err(Ended::AnotherTopic);
            }
            if before.is_none_or(|before| before + 1 < mark.offset) {
                self.hand_out(std::mem::take(&mut run), None).await?;
                if self.lacks_some_before(&mark) {
                    self.catch_up(Some(&mark)).await?;
                }
            }
            run.push((mark, message));
        }
        self.hand_out(run, None).await
    }

    /// Hands a run of messages out, each that someone follows with what the rows say, and moves on to `next`.
    async fn hand_out(&self, run: Vec<(Mark, Message)>, next: Option<Cursor>) -> Result<(), Ended> {
        let mut read = HashMap::new();
        loop {
            let unread = {
                let mut register = self.shared.register.lock();
                let Some(register) = &mut *register else { return Ok(()) };
                // Who follows since the last look finds its events among the unread.
                let wanted = run.iter().filter(|(_, message)| register.is_wanted(message));
                let named = wanted.filter_map(|(_, message)| Named::of(message));
                let unread: Vec<_> = named.filter(|named| !read.contains_key(&named.id)).collect();
                if unread.is_empty() {
                    self.pass_on(register, run, next, &read);
                    return Ok(());
                }
                unread
            };
            let facts = facts::read(&*self.events.store, &unread).await?;
            read.extend(unread.into_iter().map(|named| named.id).zip(facts));
        }
    }

    /// Passes a run on, and counts the streams that were cut off.
    fn pass_on(
        &self,
        register: &mut Register,
        run: Vec<(Mark, Message)>,
        next: Option<Cursor>,
        read: &HashMap<String, Option<Fact>>,
    ) {
        let mut cut = 0;
        for (mark, message) in run {
            if register.position().has_passed(&mark) {
                continue;
            }
            let event = Named::of(&message).and_then(|named| {
                let fact = read.get(&named.id)?.clone()?;
                ShownEvent::of(&message, named, fact)
            });
            cut += register.hand_out(mark, message, event.as_ref());
        }
        if let Some(next) = next {
            *register.position_mut() = next;
        }
        register.position_mut().seen_at(self.clock.now());
        self.metrics.event_streams_cut.inc_by(cut as u64);
    }

    /// Whether messages before this one were not received: the listener was too slow for the embedded bus.
    fn lacks_some_before(&self, mark: &Mark) -> bool {
        let register = self.shared.register.lock();
        register.as_ref().is_some_and(|of| of.position().next(mark.partition) < mark.offset)
    }

    /// Hands out what the log has up to this message, or up to its end.
    async fn catch_up(&self, mark: Option<&Mark>) -> Result<(), Ended> {
        loop {
            let after = self.shared.register.lock().as_ref().map(|of| of.position().clone());
            let lacks =
                |after: &Cursor| mark.is_none_or(|mark| after.next(mark.partition) < mark.offset);
            let Some(after) = after.filter(lacks) else { return Ok(()) };
            let filter = LogFilter::default();
            let page = self.events.read(Some(after), filter, BATCH_SIZE_MAX, true).await?;
            let marked = page.messages.into_iter();
            let marked = marked.filter_map(|message| Some((Mark::of(&message)?, message)));
            self.hand_out(marked.collect(), Some(page.next)).await?;
            if page.is_last {
                return Ok(());
            }
        }
    }
}
