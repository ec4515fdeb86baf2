//! The events of `airline-events` for callers: pages of the log, and streams that follow it.
//!
//! Types and ids come from the log, all else from the rows that they name.

mod live;
mod shown;

use crate::bus::{Bus, Cursor, LogError, LogFilter, LogPage, LogQuery};
use crate::clock::Clock;
use crate::domain::FlightId;
use crate::facts::{self, Named};
use crate::messages::Message;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

pub use live::{Follow, LiveEvents, NoStream, Watched};
pub use shown::ShownEvent;

/// Reads the log. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    kept_for: Duration,
}

/// A page of events.
pub struct EventsPage {
    /// In order for each flight.
    pub events: Vec<ShownEvent>,
    /// Where the next page begins.
    pub next: Cursor,
}

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The log does not answer, or not from the place that was asked for.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The rows that events name cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a page of events is asked for.
#[derive(Debug, Clone)]
pub struct EventsAsked {
    /// Where to begin; `None`: at the oldest event that is kept.
    pub after: Option<Cursor>,
    /// The types; all if empty. A type that ends with `*` stands for all that begin so.
    pub types: Vec<String>,
    /// Only events of this flight.
    pub flight: Option<FlightId>,
    /// Maximum events in the page.
    pub limit: usize,
}

impl Events {
    /// Reads the log of a bus, which keeps events this long (`EVENT_RETENTION`).
    pub fn new(
        bus: Arc<dyn Bus>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        kept_for: Duration,
    ) -> Self {
        Self { bus, store, clock, kept_for }
    }

    /// A page of the log. [`LogError::Busy`] while as many others are read as can be at once.
    pub async fn page(&self, asked: EventsAsked) -> Result<EventsPage, Unread> {
        let EventsAsked { after, types, flight, limit } = asked;
        let key = flight.map(|flight| flight.to_string());
        let filter = LogFilter { types, key, booking: None };
        let LogPage { messages, next, .. } = self.read(after, filter, limit, false).await?;
        let events = self.shown(messages.iter()).await?.into_iter().flatten().collect();
        Ok(EventsPage { events, next })
    }

    /// Each message's event; `None` if it is none, or if the rows contradict it.
    async fn shown(
        &self,
        messages: impl Iterator<Item = &Message>,
    ) -> Result<Vec<Option<ShownEvent>>, StoreError> {
        let messages: Vec<_> = messages.map(|message| (message, Named::of(message))).collect();
        let named: Vec<_> = messages.iter().filter_map(|(_, named)| named.clone()).collect();
        let mut facts = facts::read(&*self.store, &named).await?.into_iter();
        let shown = messages.into_iter().map(|(message, named)| {
            let named = named?;
            ShownEvent::of(message, named, facts.next()??)
        });
        Ok(shown.collect())
    }

    async fn read(
        &self,
        after: Option<Cursor>,
        filter: LogFilter,
        limit: usize,
        is_patient: bool,
    ) -> Result<LogPage, LogError> {
        let (now, kept_for) = (self.clock.now(), self.kept_for);
        let query = LogQuery { after, filter, limit, now, kept_for, is_patient };
        self.bus.read_log(query).await
    }
}
