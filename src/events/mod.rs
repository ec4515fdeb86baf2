//! The events of flights and bookings for callers: pages of the log, and streams that follow it.

mod live;
mod shown;

use crate::bus::{Bus, Cursor, LogError, LogFilter, LogPage, LogQuery};
use crate::clock::Clock;
use crate::domain::FlightId;
use std::sync::Arc;
use std::time::Duration;

pub use live::{Follow, LiveEvents, NoStream, Watched};
pub use shown::ShownEvent;

/// Reads the log. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    kept_for: Duration,
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
    pub fn new(bus: Arc<dyn Bus>, clock: Arc<dyn Clock>, kept_for: Duration) -> Self {
        Self { bus, clock, kept_for }
    }

    /// A page of the log. [`LogError::Busy`] while as many others are read as can be at once.
    pub async fn page(&self, asked: EventsAsked) -> Result<LogPage, LogError> {
        let EventsAsked { after, types, flight, limit } = asked;
        let key = flight.map(|flight| flight.to_string());
        let filter = LogFilter { types, key, booking: None };
        self.read(after, filter, limit, false).await
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
