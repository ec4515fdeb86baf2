//! Clients: each sends requests one after the other, now and then leaves before the answer, and remembers what it
//! was told. At the end of a run the stored rows are held against its memory.

use super::ports::chance::Fault;
use super::replica::Service;
use super::world::World;
use airline_booking::booking::PlaceOrder;
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, DayKey, Flight, FlightId, Passenger, PaymentMethod, UserId,
};
use airline_booking::engine::Error;
use airline_booking::rules::{CancelledBy, IdempotencyKey, OrderPart, Refusal};
use airline_booking::store::StoreError;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Attempts with one key, at whichever replica runs.
const ATTEMPTS_MAX: usize = 4;

/// What a client knows of a request for seats.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of its passengers, which no other request has.
    pub mark: String,
    pub flight: FlightId,
    pub seats: i32,
    /// Bookings of the answers: 201, or 200 for a repeat.
    pub accepted: Vec<BookingId>,
    /// Whether each attempt without a booking was refused, so that nothing was written.
    pub refused: bool,
}

/// A client and what it remembers.
pub struct Client {
    world: World,
    user: UserId,
    pub requests: Vec<Request>,
    /// The last status seen of each booking.
    pub seen: BTreeMap<BookingId, BookingStatus>,
    /// Bookings whose cancellation was confirmed.
    pub cancelled: Vec<BookingId>,
    /// The last version seen of each flight.
    versions: BTreeMap<FlightId, i64>,
    /// Broken promises that the client noticed itself.
    pub complaints: Vec<String>,
}

/// How an attempt ended.
enum Answer<T> {
    Is(T),
    /// Nothing was changed: the rules refuse.
    Refused(String),
    /// Nothing was changed: the service is overloaded, or no replica runs.
    NotNow(String),
    /// The answer is lost, or does not say.
    Unknown(String),
}

impl Client {
    pub fn new(world: World, number: usize) -> Self {
        Self {
            world,
            user: UserId(number as i64 + 1),
            requests: Vec::new(),
            seen: BTreeMap::new(),
            cancelled: Vec::new(),
            versions: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// Sends one request after the other.
    pub async fn run(mut self, requests: usize) -> Self {
        for _ in 0..requests {
            let pause = self.world.chance.pause(Duration::from_millis(400));
            tokio::time::sleep(pause).await;
            match self.world.chance.below(10) {
                0..=5 => self.book().await,
                6 => self.cancel().await,
                7 => self.look_at_a_booking().await,
                8 => self.look_at_a_flight().await,
                _ => self.search().await,
            }
        }
        self
    }

    async fn book(&mut self) {
        let chance = &self.world.chance;
        let flight = self.world.any_flight();
        let seats = 1 + chance.below(4) as i32;
        let mark = format!("{}.{}", self.user, self.requests.len());
        let has_key = chance.below(2) == 0;
        let waits = chance.below(3) == 0;
        let method = match chance.below(12) {
            0 => "pm_card_declined",
            1 => "pm_card_timeout",
            2 => "pm_card_error",
            _ => PaymentMethod::DEFAULT,
        };
        let place = PlaceOrder {
            flights: [flight].into(),
            user_id: self.user,
            seats,
            passengers: passengers(&mark, seats),
            method: PaymentMethod::new(method).expect("a token"),
            idempotency: has_key.then(|| IdempotencyKey {
                key: mark.as_str().into(),
                request_hash: mark.as_str().into(),
            }),
            request: None,
            pending_max: (chance.below(4) == 0).then_some(6),
        };
        let mut request = Request { mark, flight, seats, accepted: Vec::new(), refused: true };
        for _ in 0..if has_key { ATTEMPTS_MAX } else { 1 } {
            let name = format!("user {} books {seats} seats of flight {flight}", self.user);
            let place = place.clone();
            let answer = self.ask(&name, async move |service| {
                let placed = service.bookings.place(place, waits).await?;
                if !waits {
                    return Ok(placed.order.first().clone());
                }
                let ended = service.bookings.until_ended(placed, Duration::from_secs(2)).await?;
                Ok(ended.order.first().clone())
            });
            match answer.await {
                Answer::Is(booking) => {
                    self.see(&booking);
                    request.accepted.push(booking.id);
                    // Some repeat a request that has an answer.
                    if self.world.chance.below(4) > 0 {
                        break;
                    }
                }
                Answer::Refused(_) | Answer::NotNow(_) => break,
                Answer::Unknown(_) => request.refused = false,
            }
        }
        self.requests.push(request);
    }

    async fn cancel(&mut self) {
        let Some(id) = self.any_booking() else { return };
        let name = format!("user {} cancels booking {id}", self.user);
        let answer = self.ask(&name, async move |service| {
            let booking = service.bookings.booking(id).await?;
            let by = CancelledBy::Traveller;
            let cancelled =
                service.bookings.cancel(&booking, OrderPart::default(), by, None).await?;
            Ok(cancelled.order.booking(id).expect("the booking's own order").clone())
        });
        if let Answer::Is(booking) = answer.await {
            self.see(&booking);
            if booking.status == BookingStatus::Cancelled {
                self.cancelled.push(id);
            } else {
                self.complaints.push(format!("{name}: answered with {:?}", booking.status));
            }
        }
    }

    async fn look_at_a_booking(&mut self) {
        let Some(id) = self.any_booking() else { return };
        let name = format!("user {} reads booking {id}", self.user);
        match self.ask(&name, async move |service| service.bookings.booking(id).await).await {
            Answer::Is(booking) => self.see(&booking),
            Answer::Refused(why) => self.complaints.push(format!("{name}: {why}")),
            Answer::NotNow(_) | Answer::Unknown(_) => {}
        }
    }

    async fn look_at_a_flight(&mut self) {
        let id = self.world.any_flight();
        let name = format!("user {} reads flight {id}", self.user);
        match self.ask(&name, async move |service| service.flights.flight(id).await).await {
            Answer::Is(flight) => self.see_flight(&flight),
            Answer::Refused(why) => self.complaints.push(format!("{name}: {why}")),
            Answer::NotNow(_) | Answer::Unknown(_) => {}
        }
    }

    async fn search(&mut self) {
        let day: DayKey = self.world.day();
        let name = format!("user {} searches", self.user);
        let answer = self.ask(&name, async move |service| service.search.answer(day).await);
        if let Answer::Refused(why) = answer.await {
            self.complaints.push(format!("{name}: {why}"));
        }
    }

    /// Sends a request to a replica and waits for its answer, or leaves.
    async fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        name: &str,
        request: impl FnOnce(Service) -> F,
    ) -> Answer<T> {
        let chance = &self.world.chance;
        let Some(service) = self.world.any_service() else {
            return Answer::NotNow("no replica runs".to_owned());
        };
        chance.step(|| format!("{name} at {}", service.name));
        let asked_at = Instant::now();
        let mut asked = service.tasks.spawn(request(service.clone()));
        let answer = if chance.strikes(Fault::ClientLeaves) {
            let patience = chance.pause(Duration::from_millis(20));
            match timeout(patience, &mut asked).await {
                Ok(answered) => answered,
                Err(_) => {
                    asked.abort();
                    chance.step(|| format!("{name}: left"));
                    return Answer::Unknown("the client left".to_owned());
                }
            }
        } else {
            asked.await
        };
        let answer = match answer {
            Ok(Ok(value)) => Answer::Is(value),
            Ok(Err(Error::Refused(why))) => {
                self.check_refusal(name, &why, asked_at);
                Answer::Refused(why.to_string())
            }
            Ok(Err(error)) if is_definite(&error) => Answer::NotNow(error.to_string()),
            Ok(Err(error)) => Answer::Unknown(error.to_string()),
            Err(ended) if ended.is_cancelled() => Answer::Unknown("the replica died".to_owned()),
            // The planned panics are caught by the engine: this one is a bug.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        chance.step(|| match &answer {
            Answer::Is(_) => format!("{name}: answered"),
            Answer::Refused(why) => format!("{name}: refused, {why}"),
            Answer::NotNow(why) => format!("{name}: not now, {why}"),
            Answer::Unknown(why) => format!("{name}: unknown, {why}"),
        });
        answer
    }

    /// A refusal for want of seats names a number that was true at some time since the request.
    fn check_refusal(&self, name: &str, why: &Refusal, since: Instant) {
        let Refusal::InsufficientSeats { flight, free, .. } = why else { return };
        let mut rows = self.world.database.rows();
        if !rows.had_free_seats(*flight, *free, since) {
            rows.complaints.push(format!("{name}: {why}, which was never so"));
        }
    }

    fn any_booking(&self) -> Option<BookingId> {
        let ids: Vec<_> = self.seen.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[self.world.chance.below(ids.len() as u64) as usize])
    }

    /// Remembers a booking. It may not be as it was before what was seen earlier.
    fn see(&mut self, booking: &Booking) {
        let before = self.seen.insert(booking.id, booking.status);
        let is_back = match before {
            Some(BookingStatus::Completed) => booking.status == BookingStatus::Pending,
            Some(BookingStatus::Failed) => booking.status != BookingStatus::Failed,
            Some(BookingStatus::Cancelled) => booking.status != BookingStatus::Cancelled,
            Some(BookingStatus::Pending) | None => false,
        };
        if is_back {
            let (id, after) = (booking.id, booking.status);
            self.complaints.push(format!("booking {id} was {before:?} and is {after:?} again"));
        }
        if booking.user_id != self.user {
            self.complaints.push(format!("booking {} belongs to another user", booking.id));
        }
    }

    fn see_flight(&mut self, flight: &Flight) {
        let before = self.versions.insert(flight.id, flight.version).unwrap_or(0);
        if before > flight.version {
            let (id, after) = (flight.id, flight.version);
            self.complaints.push(format!("flight {id} went back from version {before} to {after}"));
        }
    }
}

/// Whether the error says that nothing was changed.
fn is_definite(error: &Error) -> bool {
    match error {
        Error::Refused(_) | Error::Overloaded => true,
        Error::Store(error) => !matches!(error, StoreError::Unavailable(_)),
        Error::Stopping | Error::Panicked => false,
    }
}

fn passengers(mark: &str, seats: i32) -> Vec<Passenger> {
    let passenger = json!({
        "name": mark, "email": "a@b.example", "phone": "1", "age": 30, "gender": "female"
    });
    let passenger: Passenger = serde_json::from_value(passenger).expect("a passenger");
    vec![passenger; seats as usize]
}

/// The mark of the request that made a booking.
pub fn mark_of(booking: &Booking) -> Option<Arc<str>> {
    let passengers = booking.passengers.as_ref()?;
    let first = serde_json::to_value(passengers.first()?).ok()?;
    first["name"].as_str().map(Into::into)
}
