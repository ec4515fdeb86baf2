//! The listener of a process: hears events while there are streams, and hands them out in order, without a gap.

use super::{LiveEvents, Register};
use crate::bus::{BusError, Cursor, LogError, LogFilter, Mark};
use crate::messages::{Message, Topic};
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;
use tracing::{debug, warn};

/// Messages received at once.
const BATCH_SIZE_MAX: usize = 512;

/// How long the listener goes on without streams.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The pause after a failure of the bus.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Why a listener ends. All streams end with it, and their clients resume.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("there are no streams")]
    Idle,
    #[error("the topic was deleted and made again")]
    AnotherTopic,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Bus(#[from] BusError),
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
        *self.shared.register.lock() = Some(Register::at(position));
        let mut listener = bus.listen(Topic::AirlineEvents).await?;
        // What was published before the listener had its place.
        self.catch_up(None).await?;
        self.shared.is_ready.send_replace(true);
        loop {
            let received = listener.receive(BATCH_SIZE_MAX);
            let Ok(messages) = tokio::time::timeout(IDLE_MAX, received).await else {
                self.end_if_idle()?;
                continue;
            };
            self.hear(messages?, &mut heard).await?;
            listener.commit().await?;
            self.end_if_idle()?;
        }
    }

    fn end_if_idle(&self) -> Result<(), Ended> {
        let mut register = self.shared.register.lock();
        let is_idle = register.as_ref().is_none_or(|register| !register.has_followers());
        if is_idle {
            self.shared.is_ready.send_replace(false);
            *register = None;
            return Err(Ended::Idle);
        }
        Ok(())
    }

    /// Hands messages out. `heard`: the last offset of each partition that was received.
    async fn hear(
        &self,
        messages: Vec<Message>,
        heard: &mut HashMap<i32, i64>,
    ) -> Result<(), Ended> {
        for message in messages {
            let Some(mark) = Mark::of(&message) else { continue };
            let before = heard.insert(mark.partition, mark.offset);
            if before.is_some_and(|before| before >= mark.offset) {
                return Err(Ended::AnotherTopic);
            }
            if self.lacks_some_before(&mark) {
                self.catch_up(Some(&mark)).await?;
            }
            self.with_register(|register| {
                if register.position().has_passed(&mark) {
                    return 0;
                }
                register.hand_out(mark, message)
            });
        }
        Ok(())
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
            self.with_register(|register| {
                let marked = page
                    .messages
                    .into_iter()
                    .filter_map(|message| Some((Mark::of(&message)?, message)));
                let cut = marked.map(|(mark, message)| register.hand_out(mark, message)).sum();
                *register.position_mut() = page.next;
                cut
            });
            if page.is_last {
                return Ok(());
            }
        }
    }

    /// Works on the register, and counts the streams that were cut off.
    fn with_register(&self, work: impl FnOnce(&mut Register) -> usize) {
        let Some(register) = &mut *self.shared.register.lock() else { return };
        register.position_mut().seen_at(self.clock.now());
        self.metrics.event_streams_cut.inc_by(work(register) as u64);
    }
}
