//! One stream: the state, the events since its client's last one, then those that happen.

use super::super::shown::{ShownEvent, frame, heartbeat};
use super::{Following, Frame};
use crate::bus::{Cursor, LogError, LogPage, Mark};
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
        Self { following, queue, place, ready: VecDeque::new(), reads_log: false, pages: 0 }
    }

    /// Prepares the events behind a place: those of late, or a first page of the log.
    pub(super) async fn replay(&mut self, after: Option<Cursor>) -> Result<(), LogError> {
        let Some(after) = after else { return Ok(()) };
        self.place = after;
        let Some((events, end)) = self.following.since(&self.place) else {
            self.reads_log = true;
            let page = self.page().await?;
            self.take(page);
            return Ok(());
        };
        let mut place = self.place.clone();
        for heard in events {
            place.pass(&heard.mark);
            let event = heard.message.as_ref().and_then(ShownEvent::of);
            self.ready.extend(event.map(|event| event.frame(&place)));
        }
        self.ready.push_back(heartbeat(&end));
        self.place = end;
        Ok(())
    }

    async fn page(&self) -> Result<LogPage, LogError> {
        let filter = self.following.watched.filter();
        let after = Some(self.place.clone());
        self.following.live.events.read(after, filter, PAGE_SIZE, true).await
    }

    fn take(&mut self, page: LogPage) {
        for message in &page.messages {
            if let Some(mark) = Mark::of(message) {
                self.place.pass(&mark);
            }
            self.ready.extend(ShownEvent::of(message).map(|event| event.frame(&self.place)));
        }
        self.reads_log = !page.is_last;
        self.pages += 1;
        self.place = page.next;
        self.ready.push_back(heartbeat(&self.place));
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
            if self.reads_log {
                if self.pages >= PAGES_MAX {
                    return None;
                }
                let page = self.page().await.ok()?;
                self.take(page);
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
