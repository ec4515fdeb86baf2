//! One stream: the state, the events since its client's last one, then those that happen.

use super::super::Unread;
use super::super::shown::{frame, heartbeat};
use super::{Following, Frame, Heard};
use crate::bus::{Cursor, LogError, LogPage, Mark};
use crate::messages::Message;
use bytes::Bytes;
use futures::Stream;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a stream in which nothing happens has a comment.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events in a page of the log.
const PAGE_SIZE: usize = 256;

/// Maximum pages of the log that a stream reads. Then it ends, and its client resumes from where it was: a place of
/// long ago must not keep the readers from others.
const PAGES_MAX: usize = 16;

/// A stream of events.
pub struct Follow {
    following: Following,
    queue: mpsc::Receiver<Arc<Frame>>,
    /// The id of what comes next, unless it has its own.
    place: Cursor,
    /// What is sent before anything else.
    ready: VecDeque<Bytes>,
    /// The records of late that come next, and the place behind them.
    late: VecDeque<Arc<Heard>>,
    late_end: Cursor,
    /// Whether the log has more before the events of the queue.
    reads_log: bool,
    pages: usize,
}

impl Follow {
    pub(super) fn new(
        following: Following,
        queue: mpsc::Receiver<Arc<Frame>>,
        place: Cursor,
    ) -> Self {
        let (ready, late, late_end) = (VecDeque::new(), VecDeque::new(), place.clone());
        Self { following, queue, place, ready, late, late_end, reads_log: false, pages: 0 }
    }

    /// Prepares the events behind a place: those of late, or a first page of the log.
    pub(super) async fn replay(&mut self, after: Option<Cursor>) -> Result<(), Unread> {
        let Some(after) = after else { return Ok(()) };
        self.place = after;
        let Some((late, end)) = self.following.since(&self.place) else {
            self.reads_log = true;
            return self.read_log().await;
        };
        (self.late, self.late_end) = (late.into(), end);
        Ok(())
    }

    /// Prepares some of the records of late.
    async fn read_late(&mut self) -> Result<(), Unread> {
        let some: Vec<_> = self.late.drain(..self.late.len().min(PAGE_SIZE)).collect();
        self.prepare(some.iter().filter_map(|heard| heard.message.as_ref())).await?;
        if self.late.is_empty() {
            self.place = self.late_end.clone();
            self.ready.push_back(heartbeat(&self.place));
        }
        Ok(())
    }

    /// Prepares a page of the log.
    async fn read_log(&mut self) -> Result<(), Unread> {
        let LogPage { messages, next, is_last } = self.page().await?;
        self.prepare(messages.iter()).await?;
        self.reads_log = !is_last;
        self.pages += 1;
        self.place = next;
        self.ready.push_back(heartbeat(&self.place));
        Ok(())
    }

    /// Prepares the events of messages, each with the place behind it.
    async fn prepare(
        &mut self,
        messages: impl Iterator<Item = &Message> + Clone,
    ) -> Result<(), Unread> {
        let (live, watched) = (&self.following.live, self.following.watched);
        let events = live.events.shown(messages.clone()).await?;
        for (message, event) in messages.zip(events) {
            if let Some(mark) = Mark::of(message) {
                self.place.pass(&mark);
            }
            let event = event.filter(|event| watched.shows(event));
            self.ready.extend(event.map(|event| event.frame(&self.place)));
        }
        Ok(())
    }

    async fn page(&self) -> Result<LogPage, LogError> {
        let filter = self.following.watched.filter();
        let after = Some(self.place.clone());
        self.following.live.events.read(after, filter, PAGE_SIZE, true).await
    }

    /// The stream, beginning with the event `state`, whose data is the resource as JSON.
    pub fn with_state(
        mut self,
        id: Option<&Cursor>,
        state: &str,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        self.ready.push_front(frame("state", id.unwrap_or(&self.place), state));
        let stopping = self.following.live.stopping.clone();
        futures::stream::unfold((self, stopping), async |(mut follow, stopping)| {
            let next = tokio::select! {
                biased;
                () = stopping.cancelled() => None,
                next = follow.next() => next,
            };
            next.map(|bytes| (Ok(bytes), (follow, stopping)))
        })
    }

    /// What is sent next; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if !self.late.is_empty() {
                self.read_late().await.ok()?;
                continue;
            }
            if self.reads_log {
                if self.pages >= PAGES_MAX {
                    return None;
                }
                self.read_log().await.ok()?;
                continue;
            }
            match tokio::time::timeout(HEARTBEAT, self.queue.recv()).await {
                // It was in the log already.
                Ok(Some(event)) if self.place.has_passed(&event.mark) => {}
                Ok(Some(event)) => return Some(event.bytes.clone()),
                Ok(None) => return None,
                Err(_) => self.ready.push_back(self.quiet()),
            }
        }
    }

    /// A heartbeat with the listener's place. All events before it are in the queue; if that is not empty, they are sent
    /// first and the place is the stream's own.
    fn quiet(&self) -> Bytes {
        let position = self.following.position().filter(|_| self.queue.is_empty());
        heartbeat(position.as_ref().unwrap_or(&self.place))
    }
}
