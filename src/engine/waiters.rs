//! Callers that wait for a booking to end (`Prefer: wait`): a bounded register, woken by the engine
//! when the booking ends in this process, and else by `airline-events`, which every replica hears.

use crate::bus::{Bus, BusError, Consumer};
use crate::domain::{Booking, BookingId};
use crate::messages::{Message, Topic};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const BATCH_SIZE_MAX: usize = 512;

/// The pause after the bus failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// The pause after a look at a booking that had not ended, whatever messages say.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Who waits for which booking.
#[derive(Clone)]
pub struct CompletionWaiters {
    register: Arc<Mutex<Register>>,
    waiting_max: usize,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Register {
    bookings: HashMap<BookingId, Waiters>,
    /// Callers over all bookings: many may wait for one, each by a repeat of its request.
    callers: usize,
}

impl Register {
    fn wake(&self, booking: &Booking) {
        if let Some(waiters) = self.bookings.get(&booking.id) {
            waiters.news.send_modify(|news| news.ended = Some(booking.without_passengers()));
        }
    }
}

struct Waiters {
    news: watch::Sender<News>,
    count: usize,
}

/// What is known of a booking that is waited for.
#[derive(Default)]
struct News {
    /// As the engine ended it.
    ended: Option<Booking>,
    /// How often a message said that it ended: a reason to look, and no more.
    told: u64,
}

impl CompletionWaiters {
    /// A register with room for `waiting_max` callers; all waits end when `stopping` is cancelled.
    pub fn new(waiting_max: usize, stopping: CancellationToken) -> Self {
        Self { register: Arc::default(), waiting_max, stopping }
    }

    /// Begins to wait for a booking's end; `None` if the register is full.
    pub(crate) fn for_end_of(&self, booking: BookingId) -> Option<Wait> {
        let mut register = self.register();
        if register.callers >= self.waiting_max {
            return None;
        }
        register.callers += 1;
        let nobody = || Waiters { news: watch::Sender::default(), count: 0 };
        let waiters = register.bookings.entry(booking).or_insert_with(nobody);
        waiters.count += 1;
        Some(Wait { booking, news: waiters.news.subscribe(), waiting: self.clone() })
    }

    /// Hears `airline-events` and has those who wait look at their booking. Listens anew if the bus
    /// fails; what was told meanwhile is missed, and those who wait for it read their booking when
    /// their time is up.
    pub async fn run(&self, bus: Arc<dyn Bus>, mut events: Box<dyn Consumer>) {
        loop {
            let Err(error) = self.hear(&mut *events).await;
            warn!(%error, "callers that wait are not woken early until the bus answers");
            events = loop {
                tokio::time::sleep(OUTAGE_PAUSE).await;
                if let Ok(events) = bus.listen(Topic::AirlineEvents).await {
                    break events;
                }
            };
        }
    }

    async fn hear(&self, events: &mut dyn Consumer) -> Result<Infallible, BusError> {
        loop {
            for message in events.receive(BATCH_SIZE_MAX).await? {
                self.wake(&message);
            }
            events.commit().await?;
        }
    }

    fn wake(&self, message: &Message) {
        let register = self.register();
        let kind = message.headers.get("ce_type").unwrap_or_default();
        let is_of_booking = kind.starts_with("booking.") && message.fault().is_none();
        if register.callers == 0 || !is_of_booking {
            return;
        }
        // Others can write to the topic too: all but the number is read from the store.
        let named = serde_json::from_str::<Named>(&message.payload).ok();
        if let Some(waiters) = named.and_then(|named| register.bookings.get(&named.id)) {
            waiters.news.send_modify(|news| news.told += 1);
        }
    }

    /// Wakes those who wait for these bookings, each of which has ended.
    pub(crate) fn tell<'a>(&self, ended: impl Iterator<Item = &'a Booking>) {
        let register = self.register();
        if register.callers > 0 {
            ended.for_each(|booking| register.wake(booking));
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().expect("no holder of the register panics")
    }
}

/// What is taken from a message of `airline-events`.
#[derive(serde::Deserialize)]
struct Named {
    id: BookingId,
}

/// One caller's wait; leaves the register when dropped.
pub(crate) struct Wait {
    booking: BookingId,
    news: watch::Receiver<News>,
    waiting: CompletionWaiters,
}

impl Wait {
    /// For which booking.
    pub(crate) fn booking(&self) -> BookingId {
        self.booking
    }

    /// The booking once it has ended, without who flies; nothing if the time is up or the service
    /// stops. `look` reads it from the store, when a message says that it ended, and gives it only if
    /// it did.
    pub(crate) async fn within<F: Future<Output = Option<Booking>>>(
        mut self,
        time: Duration,
        look: impl Fn() -> F,
    ) -> Option<Booking> {
        let news = &mut self.news;
        let ended = async {
            let mut looked = 0;
            loop {
                let is_new = |news: &News| news.ended.is_some() || news.told > looked;
                let told = {
                    let news = news.wait_for(is_new).await.ok()?;
                    if news.ended.is_some() {
                        return news.ended.clone();
                    }
                    news.told
                };
                looked = told;
                if let Some(booking) = look().await {
                    return Some(booking.without_passengers());
                }
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        };
        tokio::select! {
            ended = ended => ended,
            () = tokio::time::sleep(time) => None,
            () = self.waiting.stopping.cancelled() => None,
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
        let mut register = self.waiting.register();
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
    fn callers_are_bounded_and_not_the_bookings_that_they_wait_for() {
        let waiting = CompletionWaiters::new(2, CancellationToken::new());
        let first = waiting.for_end_of(BookingId(1)).expect("room");
        let _second = waiting.for_end_of(BookingId(1)).expect("room");
        assert!(waiting.for_end_of(BookingId(1)).is_none());
        assert!(waiting.for_end_of(BookingId(2)).is_none());
        drop(first);
        assert!(waiting.for_end_of(BookingId(2)).is_some());
    }

    /// Of a bus that has just gone away.
    struct Gone;

    #[async_trait::async_trait]
    impl Consumer for Gone {
        async fn receive(&mut self, _max: usize) -> Result<Vec<Message>, BusError> {
            Err(BusError("gone".into()))
        }

        async fn commit(&mut self) -> Result<(), BusError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn after_the_bus_failed_callers_are_woken_by_the_topic_again() {
        let (ended, message) = ended();
        let waiting = CompletionWaiters::new(9, CancellationToken::new());
        let wait = waiting.for_end_of(BookingId(1)).expect("room");
        let bus = Arc::new(MemoryBus::default());
        let look = || std::future::ready(Some(ended.clone()));
        let publishing = async {
            // Until somebody listens again.
            loop {
                bus.publish(&[(Topic::AirlineEvents, message.clone())]).await.expect("published");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            woken = wait.within(Duration::from_secs(60), look) => {
                assert_eq!(woken, Some(ended.clone()));
            }
            () = waiting.run(bus.clone(), Box::new(Gone)) => {}
            () = publishing => {}
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_told_by_the_engine_or_by_the_topic() {
        let (ended, message) = ended();
        let waiting = CompletionWaiters::new(9, CancellationToken::new());
        let tell = || waiting.tell([&ended].into_iter());
        let hear = || waiting.wake(&message);
        for end in [&tell as &dyn Fn(), &hear] {
            let wait = waiting.for_end_of(BookingId(1)).expect("room");
            let other = waiting.for_end_of(BookingId(9)).expect("room");
            end();
            let look = || std::future::ready(Some(ended.clone()));
            assert_eq!(wait.within(Duration::from_secs(9), look).await, Some(ended.clone()));
            assert_eq!(other.within(Duration::ZERO, look).await, None);
        }
    }

    /// A booking that has ended, and what the topic tells of it.
    fn ended() -> (Booking, Message) {
        let ended: Booking = serde_json::from_value(serde_json::json!({
            "id": 1, "flight_id": 2, "user_id": 3, "status": "completed",
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
