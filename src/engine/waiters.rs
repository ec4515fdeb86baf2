//! Callers that wait for a booking to end (`Prefer: wait`): a bounded register. The engine wakes them when
//! the booking ends in this process, the topic `airline-events` when it ends on another replica.

use crate::bus::{Bus, BusError, Consumer};
use crate::domain::{Booking, BookingId};
use crate::messages::{Message, Topic};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Messages received at once.
const BATCH_SIZE_MAX: usize = 512;

/// Pause after a failure of the bus.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Minimum interval between two reads of a booking that has not ended, whatever messages say: anyone who
/// can write to the topic could otherwise cause reads.
const READ_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The register of waiting callers, by booking.
#[derive(Clone)]
pub struct CompletionWaiters {
    register: Arc<Mutex<Register>>,
    callers_max: usize,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Register {
    bookings: HashMap<BookingId, BookingWaiters>,
    /// Callers of all bookings. Many may wait for one booking, each with a repeat of the request.
    callers: usize,
}

impl Register {
    fn wake(&self, booking: &Booking) {
        if let Some(waiters) = self.bookings.get(&booking.id) {
            waiters.news.send_modify(|news| news.ended = Some(booking.without_passengers()));
        }
    }
}

struct BookingWaiters {
    news: watch::Sender<News>,
    count: usize,
}

/// News of a booking.
#[derive(Default)]
struct News {
    /// The booking as the engine ended it.
    ended: Option<Booking>,
    /// Number of messages that name the booking. Each is only a reason to read it from the store.
    messages: u64,
}

impl CompletionWaiters {
    /// A register of at most `callers_max` callers; all waits end when `stopping` is cancelled.
    pub fn new(callers_max: usize, stopping: CancellationToken) -> Self {
        Self { register: Arc::default(), callers_max, stopping }
    }

    /// Registers a caller that waits for a booking's end; `None` if the register is full.
    pub(crate) fn register(&self, booking: BookingId) -> Option<Wait> {
        let mut register = self.register.lock();
        if register.callers >= self.callers_max {
            return None;
        }
        register.callers += 1;
        let empty = || BookingWaiters { news: watch::Sender::default(), count: 0 };
        let waiters = register.bookings.entry(booking).or_insert_with(empty);
        waiters.count += 1;
        Some(Wait { booking, news: waiters.news.subscribe(), waiters: self.clone() })
    }

    /// Consumes `airline-events` and wakes the callers of the bookings in it. Subscribes again after a
    /// failure of the bus; callers that miss a message read their booking when their time is up.
    pub async fn run(&self, bus: Arc<dyn Bus>, mut events: Box<dyn Consumer>) {
        loop {
            let Err(error) = self.consume(&mut *events).await;
            warn!(%error, "the bus failed: waiting callers are not woken early until it recovers");
            events = loop {
                tokio::time::sleep(OUTAGE_PAUSE).await;
                if let Ok(events) = bus.listen(Topic::AirlineEvents).await {
                    break events;
                }
            };
        }
    }

    async fn consume(&self, events: &mut dyn Consumer) -> Result<Infallible, BusError> {
        loop {
            for message in events.receive(BATCH_SIZE_MAX).await? {
                self.wake(&message);
            }
            events.commit().await?;
        }
    }

    fn wake(&self, message: &Message) {
        let register = self.register.lock();
        let kind = message.headers.get("ce_type").unwrap_or_default();
        let is_of_booking = kind.starts_with("booking.") && message.fault().is_none();
        if register.callers == 0 || !is_of_booking {
            return;
        }
        // Other systems can write to the topic too, so everything but the id is read from the store.
        let event = serde_json::from_str::<BookingEvent>(&message.payload).ok();
        if let Some(waiters) = event.and_then(|event| register.bookings.get(&event.id)) {
            waiters.news.send_modify(|news| news.messages += 1);
        }
    }

    /// Wakes the callers of bookings that have ended.
    pub(crate) fn notify<'a>(&self, ended: impl Iterator<Item = &'a Booking>) {
        let register = self.register.lock();
        if register.callers > 0 {
            ended.for_each(|booking| register.wake(booking));
        }
    }
}

/// The part of a message of `airline-events` that is used.
#[derive(serde::Deserialize)]
struct BookingEvent {
    id: BookingId,
}

/// One caller's wait; leaves the register when dropped.
pub(crate) struct Wait {
    booking: BookingId,
    news: watch::Receiver<News>,
    waiters: CompletionWaiters,
}

impl Wait {
    /// The booking that the caller waits for.
    pub(crate) fn booking(&self) -> BookingId {
        self.booking
    }

    /// Waits for news of the booking, or for that time, or until the service stops.
    pub(crate) async fn news_within(&self, time: Duration) {
        let mut news = self.news.clone();
        tokio::select! {
            biased;
            _ = news.changed() => {}
            () = tokio::time::sleep(time) => {}
            () = self.waiters.stopping.cancelled() => {}
        }
    }

    /// The booking once it has ended, without passengers; `None` if the time is up or the service stops.
    /// `read` reads the booking from the store after a message, and returns it only if it has ended.
    pub(crate) async fn within<F: Future<Output = Option<Booking>>>(
        mut self,
        time: Duration,
        read: impl Fn() -> F,
    ) -> Option<Booking> {
        let news = &mut self.news;
        let ended = async {
            let mut seen = 0;
            loop {
                let is_new = |news: &News| news.ended.is_some() || news.messages > seen;
                seen = {
                    let news = news.wait_for(is_new).await.ok()?;
                    if news.ended.is_some() {
                        return news.ended.clone();
                    }
                    news.messages
                };
                if let Some(booking) = read().await {
                    return Some(booking.without_passengers());
                }
                tokio::time::sleep(READ_INTERVAL_MIN).await;
            }
        };
        tokio::select! {
            biased;
            ended = ended => ended,
            () = tokio::time::sleep(time) => None,
            () = self.waiters.stopping.cancelled() => None,
        }
    }
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wait({})", self.booking)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut register = self.waiters.register.lock();
        register.callers -= 1;
        if let Some(waiters) = register.bookings.get_mut(&self.booking) {
            waiters.count -= 1;
            if waiters.count == 0 {
                register.bookings.remove(&self.booking);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::memory::MemoryBus;

    #[test]
    fn the_bound_is_on_callers_and_not_on_bookings() {
        let waiters = CompletionWaiters::new(2, CancellationToken::new());
        let first = waiters.register(BookingId(1)).expect("room");
        let _second = waiters.register(BookingId(1)).expect("room");
        assert!(waiters.register(BookingId(1)).is_none());
        assert!(waiters.register(BookingId(2)).is_none());
        drop(first);
        assert!(waiters.register(BookingId(2)).is_some());
    }

    /// A consumer of a bus that has just failed.
    struct FailedConsumer;

    #[async_trait::async_trait]
    impl Consumer for FailedConsumer {
        async fn receive(&mut self, _max: usize) -> Result<Vec<Message>, BusError> {
            Err(BusError("gone".into()))
        }

        async fn commit(&mut self) -> Result<(), BusError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_of_the_bus_the_topic_wakes_callers_again() {
        let (ended, message) = ended();
        let waiters = CompletionWaiters::new(9, CancellationToken::new());
        let wait = waiters.register(BookingId(1)).expect("room");
        let bus = Arc::new(MemoryBus::default());
        let read = || std::future::ready(Some(ended.clone()));
        let publishing = async {
            // Until the register has subscribed again.
            loop {
                bus.publish(&[(Topic::AirlineEvents, message.clone())]).await.expect("published");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            biased;
            woken = wait.within(Duration::from_secs(60), read) => {
                assert_eq!(woken, Some(ended.clone()));
            }
            () = waiters.run(bus.clone(), Box::new(FailedConsumer)) => {}
            () = publishing => {}
        }
    }

    #[tokio::test]
    async fn waiting_callers_are_woken_by_the_engine_or_by_the_topic() {
        let (ended, message) = ended();
        let waiters = CompletionWaiters::new(9, CancellationToken::new());
        let engine = || waiters.notify([&ended].into_iter());
        let topic = || waiters.wake(&message);
        for end in [&engine as &dyn Fn(), &topic] {
            let wait = waiters.register(BookingId(1)).expect("room");
            let other = waiters.register(BookingId(9)).expect("room");
            end();
            let read = || std::future::ready(Some(ended.clone()));
            assert_eq!(wait.within(Duration::from_secs(9), read).await, Some(ended.clone()));
            assert_eq!(other.within(Duration::ZERO, read).await, None);
        }
    }

    /// A booking that has ended, and its message on the topic.
    fn ended() -> (Booking, Message) {
        let ended: Booking = serde_json::from_value(serde_json::json!({
            "id": 1, "itinerary_id": 1, "segment": 1, "booking_taxes": 0.00, "fee": 0.00, "fare_rules": "free", "flight_id": 2, "user_id": 3, "status": "completed",
            "payment_reference_id": format!("PAY-{:032x}", 4), "booking_price": 2500.00,
            "seats_booked": 1, "hold_expires_at": "2025-01-15T10:05:00Z",
            "created_at": "2025-01-15T10:00:00Z", "updated_at": "2025-01-15T10:00:01Z",
        }))
        .expect("a booking");
        let mut message = Message {
            key: "2".into(),
            payload: serde_json::to_string(&ended).expect("JSON"),
            headers: crate::messages::Headers::default(),
            origin: None,
        };
        message.headers.set("ce_type", "booking.completed");
        (ended, message)
    }
}
