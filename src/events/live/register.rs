//! Who follows which events, and the events of late: a stream that was cut a moment ago resumes from them, without
//! reading the log.

use super::super::shown::ShownEvent;
use super::Watched;
use crate::bus::{Cursor, LogFilter, Mark, booking_of};
use crate::messages::Message;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Maximum records of late.
const RECENT_MAX: usize = 8_192;

/// Maximum bytes of the values of records of late.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// An event on its way to streams.
pub(super) struct Frame {
    pub(super) mark: Mark,
    pub(super) bytes: Bytes,
}

/// A record of late; without a message if it is no event.
pub(super) struct Heard {
    pub(super) mark: Mark,
    pub(super) message: Option<Message>,
}

/// The followers and the records of late of a process.
pub(super) struct Register {
    /// The place behind the last record.
    position: Cursor,
    /// The place before the first record of late.
    recent_from: Cursor,
    recent: VecDeque<Arc<Heard>>,
    recent_bytes: usize,
    followers: HashMap<Watched, Vec<Follower>>,
    drawn: u64,
}

/// A stream that follows.
struct Follower {
    id: u64,
    filter: LogFilter,
    frames: mpsc::Sender<Arc<Frame>>,
}

impl Register {
    /// Nobody follows, at this place.
    pub(super) fn at(position: Cursor) -> Self {
        Self {
            recent_from: position.clone(),
            position,
            recent: VecDeque::new(),
            recent_bytes: 0,
            followers: HashMap::new(),
            drawn: 0,
        }
    }

    pub(super) fn position(&self) -> &Cursor {
        &self.position
    }

    pub(super) fn position_mut(&mut self) -> &mut Cursor {
        &mut self.position
    }

    pub(super) fn has_followers(&self) -> bool {
        !self.followers.is_empty()
    }

    /// Adds a follower. Its number removes it.
    pub(super) fn add(&mut self, watched: Watched, frames: mpsc::Sender<Arc<Frame>>) -> u64 {
        self.drawn += 1;
        let follower = Follower { id: self.drawn, filter: watched.filter(), frames };
        self.followers.entry(watched.channel()).or_default().push(follower);
        self.drawn
    }

    pub(super) fn remove(&mut self, watched: Watched, id: u64) {
        let channel = watched.channel();
        if let Some(followers) = self.followers.get_mut(&channel) {
            followers.retain(|follower| follower.id != id);
            if followers.is_empty() {
                self.followers.remove(&channel);
            }
        }
    }

    /// Whether someone follows the events that a message is among.
    pub(super) fn is_wanted(&self, message: &Message) -> bool {
        channels(message).any(|channel| {
            let followers = self.followers.get(&channel).map(Vec::as_slice).unwrap_or_default();
            followers.iter().any(|follower| follower.filter.takes(message))
        })
    }

    /// Passes a record on to those who follow it, if it is an event. Returns how many were too slow, and are cut off.
    pub(super) fn hand_out(
        &mut self,
        mark: Mark,
        message: Message,
        event: Option<&ShownEvent>,
    ) -> usize {
        self.position.pass(&mark);
        let cut = event.map_or(0, |event| self.send(mark, &message, event));
        let is_event = LogFilter::default().takes(&message);
        self.remember(Heard { mark, message: is_event.then_some(message) });
        cut
    }

    fn send(&mut self, mark: Mark, message: &Message, event: &ShownEvent) -> usize {
        let (mut cut, mut frame) = (0, None);
        for channel in channels(message).filter(|channel| channel.shows(event)) {
            let Some(followers) = self.followers.get_mut(&channel) else { continue };
            let before = followers.len();
            followers.retain(|follower| {
                if !follower.filter.takes(message) {
                    return true;
                }
                let made = || Arc::new(Frame { mark, bytes: event.frame(&self.position) });
                let frame = frame.get_or_insert_with(made).clone();
                follower.frames.try_send(frame).is_ok()
            });
            cut += before - followers.len();
        }
        cut
    }

    fn remember(&mut self, heard: Heard) {
        self.recent_bytes += heard.bytes();
        self.recent.push_back(Arc::new(heard));
        while self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else { return };
            self.recent_from.pass(&oldest.mark);
            self.recent_bytes -= oldest.bytes();
        }
    }

    /// The events of late behind a place; `None` if the place is further back, or does not fit them.
    pub(super) fn since(&self, after: &Cursor, filter: &LogFilter) -> Option<Vec<Arc<Heard>>> {
        let mut open = BTreeSet::new();
        let known = [&self.position, &self.recent_from, after];
        for partition in known.into_iter().flat_map(Cursor::partitions) {
            let (from, at) = (self.recent_from.next(partition), after.next(partition));
            if at < from || at > self.position.next(partition) {
                return None;
            }
            if at > from {
                open.insert(partition);
            } else if !self.recent_from.agrees_with(after, partition) {
                return None;
            }
        }
        let is_before = |heard: &&Arc<Heard>| after.has_passed(&heard.mark);
        for heard in self.recent.iter().filter(is_before) {
            if after.is_behind(&heard.mark) {
                open.remove(&heard.mark.partition);
            }
        }
        let is_wanted = |heard: &&Arc<Heard>| {
            let message = heard.message.as_ref();
            !after.has_passed(&heard.mark) && message.is_some_and(|message| filter.takes(message))
        };
        open.is_empty().then(|| self.recent.iter().filter(is_wanted).cloned().collect())
    }
}

/// Under which followers of a message's events are found.
fn channels(message: &Message) -> impl Iterator<Item = Watched> {
    let flight = message.key.parse().ok().map(Watched::flight_channel);
    flight.into_iter().chain(booking_of(message).map(Watched::Booking))
}

impl Heard {
    fn bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.payload.len())
    }
}
