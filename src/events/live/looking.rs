//! What a listener looks at now and then: whether anybody follows, and whether the log is still the one that it heard.

use super::LiveEvents;
use super::listening::Ended;
use crate::bus::{Cursor, LogError, LogFilter, Mark};
use crate::messages::Message;
use std::time::{Duration, Instant};
use tracing::debug;

/// How often the listener looks.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long the listener goes on without streams.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The looks of one listener.
pub(super) struct Looks {
    looked_at: Instant,
    followed_at: Instant,
    /// The place of the last look, and in partitions that were empty then the first record since. A topic that was
    /// deleted and made again has other records there, also once it is as long as it was.
    heard: Cursor,
}

impl Looks {
    pub(super) fn begin(heard: Cursor) -> Self {
        let now = Instant::now();
        Self { looked_at: now, followed_at: now, heard }
    }

    /// Notes the first record of each partition.
    pub(super) fn hear(&mut self, messages: &[Message]) {
        for mark in messages.iter().filter_map(Mark::of) {
            if self.heard.next(mark.partition) == 0 {
                self.heard.pass(&mark);
            }
        }
    }

    pub(super) fn are_due(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_INTERVAL
    }
}

impl LiveEvents {
    /// Ends the listener if nobody has followed for long, or if the log is another.
    pub(super) async fn look(&self, looks: &mut Looks) -> Result<(), Ended> {
        looks.looked_at = Instant::now();
        if self.end_if_idle(looks.followed_at.elapsed() >= IDLE_MAX)? {
            looks.followed_at = Instant::now();
        }
        let heard = Some(looks.heard.clone());
        match self.events.read(heard, LogFilter::default(), 1, true).await {
            Ok(_) => {
                if let Some(register) = &mut *self.shared.register.lock() {
                    register.position_mut().seen_at(self.clock.now());
                    looks.heard = register.position().clone();
                }
            }
            Err(LogError::Expired) => return Err(Ended::AnotherTopic),
            Err(error) => debug!(%error, "the log cannot be compared with what was heard"),
        }
        Ok(())
    }

    /// Whether somebody follows. If not, and for long, the listener ends.
    fn end_if_idle(&self, is_long: bool) -> Result<bool, Ended> {
        let mut register = self.shared.register.lock();
        let has_followers = register.as_ref().is_some_and(super::Register::has_followers);
        if !has_followers && is_long {
            self.shared.is_ready.send_replace(false);
            *register = None;
            return Err(Ended::Idle);
        }
        Ok(has_followers)
    }
}
