//! Streams of events. One listener of a process feeds all of them, each through a queue of its own with a bound: a
//! slow reader is cut off, and resumes from the place of its last event.

mod follow;
mod listening;
mod looking;
mod register;

use super::shown::ShownEvent;
use super::{Events, Unread};
use crate::bus::{BusError, Cursor, LogError, LogFilter};
use crate::clock::Clock;
use crate::domain::{BookingId, FlightId};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use register::{Frame, Heard, Register};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use follow::Follow;

/// Events that wait for a stream's client. Beyond it the stream ends.
const QUEUE_MAX: usize = 256;

/// How long a new stream waits for the listener.
const READY_MAX: Duration = Duration::from_secs(5);

/// What a stream follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watched {
    /// A flight: the events of the flight itself, or those of its bookings too.
    Flight {
        /// The flight.
        id: FlightId,
        /// Whether the events of its bookings are in the stream.
        with_bookings: bool,
    },
    /// A booking.
    Booking(BookingId),
}

impl Watched {
    /// All that follow a flight, whether with its bookings or not.
    fn flight_channel(id: i64) -> Self {
        Self::Flight { id: FlightId(id), with_bookings: true }
    }

    fn channel(self) -> Self {
        match self {
            Self::Flight { id, .. } => Self::flight_channel(id.0),
            Self::Booking(_) => self,
        }
    }

    fn filter(self) -> LogFilter {
        match self {
            Self::Flight { id, with_bookings } => {
                let types = if with_bookings { vec![] } else { vec!["flight.*".to_owned()] };
                LogFilter { types, key: Some(id.to_string()), booking: None }
            }
            Self::Booking(id) => LogFilter { booking: Some(id), ..LogFilter::default() },
        }
    }

    /// Whether an event that passed the filter, by what its message says, is one of these by its rows too.
    fn shows(self, event: &ShownEvent) -> bool {
        match self {
            Self::Flight { .. } => true,
            Self::Booking(id) => event.booking == Some(id),
        }
    }
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum NoStream {
    /// There are as many as there may be.
    #[error("MAX_EVENT_STREAMS streams are open")]
    Full,
    /// What it begins with cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
}

/// The streams of a process. Cheap to clone.
#[derive(Clone)]
pub struct LiveEvents {
    events: Events,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    stopping: CancellationToken,
}

struct Shared {
    /// `None` while nothing is heard.
    register: Mutex<Option<Register>>,
    /// Whether there is a register.
    is_ready: watch::Sender<bool>,
    /// Notified when someone wants to follow.
    wanted: Notify,
}

impl LiveEvents {
    /// At most `streams_max` streams (`MAX_EVENT_STREAMS`) of the log's events. All end at the stop.
    pub fn new(
        events: Events,
        streams_max: usize,
        metrics: Metrics,
        stopping: CancellationToken,
    ) -> Self {
        let shared = Shared {
            register: Mutex::default(),
            is_ready: watch::Sender::new(false),
            wanted: Notify::new(),
        };
        let (permits, clock) = (Arc::new(Semaphore::new(streams_max)), events.clock.clone());
        Self { events, permits, shared: Arc::new(shared), clock, metrics, stopping }
    }

    /// Begins to follow. With `after`, events behind that place come first; it fails as a page of the log does.
    pub async fn follow(
        &self,
        watched: Watched,
        after: Option<Cursor>,
    ) -> Result<Follow, NoStream> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            self.metrics.event_streams_refused.inc();
            return Err(NoStream::Full);
        };
        let mut follower = self.subscribe(watched, permit).await?;
        follower.replay(after).await?;
        Ok(follower)
    }

    async fn subscribe(
        &self,
        watched: Watched,
        permit: OwnedSemaphorePermit,
    ) -> Result<Follow, Unread> {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let added = tokio::time::timeout(READY_MAX, self.add(watched, sender)).await;
        let away = || LogError::from(BusError("no events are heard".into()));
        let (id, place) = added.map_err(|_| away())?;
        self.metrics.event_streams.inc();
        let following = Following { live: self.clone(), watched, id, _permit: permit };
        Ok(Follow::new(following, queue, place))
    }

    /// Adds a follower once events are heard. Returns its number, and the place from which it follows.
    async fn add(&self, watched: Watched, frames: mpsc::Sender<Arc<Frame>>) -> (u64, Cursor) {
        let mut ready = self.shared.is_ready.subscribe();
        loop {
            // A register in which the listener does not have its place yet is as good.
            if let Some(register) = &mut *self.shared.register.lock() {
                return (register.add(watched, frames), register.position().clone());
            }
            self.shared.wanted.notify_one();
            if ready.wait_for(|is_ready| *is_ready).await.is_err() {
                // The sender lives as long as this.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// A follower in the register, until it is dropped.
struct Following {
    live: LiveEvents,
    watched: Watched,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Following {
    /// The place of the listener.
    fn position(&self) -> Option<Cursor> {
        self.live.shared.register.lock().as_ref().map(|register| register.position().clone())
    }

    /// The events of late behind a place, and the place behind them.
    fn since(&self, after: &Cursor) -> Option<(Vec<Arc<Heard>>, Cursor)> {
        let register = self.live.shared.register.lock();
        let register = register.as_ref()?;
        let events = register.since(after, &self.watched.filter())?;
        Some((events, register.position().clone()))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.live.metrics.event_streams.dec();
        if let Some(register) = &mut *self.live.shared.register.lock() {
            register.remove(self.watched, self.id);
        }
    }
}
