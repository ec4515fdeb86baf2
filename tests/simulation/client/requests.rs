//! Requests that change something: orders and cancellations, repeated with a key until they are answered.

use super::seen::{Cancelled, Request};
use super::{Answer, Client};
use airline_booking::booking::PlaceOrder;
use airline_booking::domain::{Booking, FlightIds, Order, Passenger, Places};
use airline_booking::rules::{
    Cancel, CancelledBy, IdempotencyKey, OrderPart, RequestKey, Segments,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Attempts with one key, at whichever replica runs.
const ATTEMPTS_MAX: usize = 4;

/// Maximum flights of an order.
const FLIGHTS_MAX: u64 = 4;

impl Client {
    /// Places an order of one flight, as `POST /bookings` does, or of several.
    pub(super) async fn book(&mut self) {
        let chance = self.world.chance.clone();
        let is_order = chance.below(2) == 0;
        let most = if is_order { 1 + chance.below(FLIGHTS_MAX) as usize } else { 1 };
        let mut flights = self.world.some_flights(most);
        // Refused: the first flight departs after the last.
        if chance.below(12) == 0 {
            flights.reverse();
        }
        let seats = 1 + chance.below(4) as i32;
        let mark = format!("{}.{}", self.user, self.requests.len());
        let key = (chance.below(2) == 0).then(|| key_of(&mark));
        let waits = chance.below(3) == 0;
        let place = self.order(flights.clone(), seats, &mark, (is_order, key.clone()));
        let mut request = Request { mark, flights, seats, accepted: Vec::new(), refused: true };
        for _ in 0..if key.is_some() { ATTEMPTS_MAX } else { 1 } {
            let flights = &request.flights;
            let name = format!("user {} books {seats} seats of flights {flights:?}", self.user);
            let place = place.clone();
            let answer = self.ask(&name, async move |service| {
                let placed = service.bookings.place(place, waits).await?;
                if !waits {
                    return Ok(placed.order);
                }
                let ended = service.bookings.until_ended(placed, Duration::from_secs(2)).await?;
                Ok(ended.order)
            });
            match answer.await {
                Answer::Is(order) => {
                    self.see_order(&order);
                    request.accepted.push(order.id());
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

    /// A request for seats; its key is that of a booking or of an order.
    fn order(
        &self,
        flights: FlightIds,
        seats: i32,
        mark: &str,
        (is_order, key): (bool, Option<IdempotencyKey>),
    ) -> PlaceOrder {
        let chance = &self.world.chance;
        let (of_order, of_booking) = if is_order { (key, None) } else { (None, key) };
        PlaceOrder {
            flights,
            user_id: self.user,
            seats,
            passengers: passengers(mark, seats),
            // Some pay later.
            method: (chance.below(3) > 0).then(|| self.some_method()),
            idempotency: of_booking,
            request: of_order.map(|key| self.request_key("/api/v1/itineraries", key)),
            pending_max: (chance.below(4) == 0).then_some(6),
            expected_price: None,
        }
    }

    pub(super) fn request_key(&self, route: &'static str, key: IdempotencyKey) -> RequestKey {
        RequestKey { route, owner: self.user, key }
    }

    /// Cancels an order, or some of its segments and passengers, some of them again.
    pub(super) async fn cancel(&mut self) {
        let Some(known) = self.any_booking() else { return };
        let (id, part) = (known.id, self.some_part(&known));
        let is_by_staff = self.world.chance.below(3) == 0;
        let by = if is_by_staff { CancelledBy::Staff } else { CancelledBy::Traveller };
        self.keys += 1;
        let key = key_of(&format!("{}.{}", self.user, self.keys));
        let has_key = self.world.chance.below(2) == 0;
        let route = "/api/v1/itineraries/{id}/cancel";
        let request = has_key.then(|| self.request_key(route, key));
        let name = format!("user {} cancels {part:?} of booking {id}", self.user);
        for _ in 0..ATTEMPTS_MAX {
            let (part_of, request) = (part.clone(), request.clone());
            let answer = self.ask(&name, async move |service| {
                let booking = service.bookings.booking(id).await?;
                let cancel = Cancel {
                    booking_id: booking.id,
                    part: part_of,
                    by,
                    expected_refund: None,
                    request,
                };
                let cancelled = service.bookings.cancel(&booking, cancel).await?;
                Ok(cancelled.order)
            });
            match answer.await {
                Answer::Is(order) => {
                    self.see_cancelled(&name, &part, &known, &order);
                    if self.world.chance.below(3) > 0 {
                        break;
                    }
                }
                Answer::Unknown(_) if has_key => {}
                Answer::Refused(_) | Answer::NotNow(_) | Answer::Unknown(_) => break,
            }
        }
    }

    /// The answer to a cancellation shows it.
    fn see_cancelled(&mut self, name: &str, part: &OrderPart, known: &Booking, order: &Order) {
        self.see_order(order);
        for (cancelled, booking) in Cancelled::of(part, known.id, order) {
            if !cancelled.is_so(booking) {
                self.complaints.push(format!("{name}: answered with {booking:?}"));
            }
            self.cancelled.push(cancelled);
        }
    }

    /// Half the time all of the booking, else segments and passengers, of which few do not exist.
    fn some_part(&self, known: &Booking) -> OrderPart {
        let chance = &self.world.chance;
        let segment = |_| 1 + chance.below(known.segments as u64) as i32;
        let segments = match chance.below(5) {
            0 => Segments::All,
            1 => Segments::Only((0..=chance.below(2)).map(segment).collect()),
            2 if chance.below(10) == 0 => Segments::Only([known.segments + 1].as_slice().into()),
            _ => Segments::Own,
        };
        let place = |_| chance.below(known.party_size() as u64) as u16;
        let places = || (0..=chance.below(2)).map(place).collect::<Places>();
        let passengers = (chance.below(2) == 0).then(places);
        OrderPart { segments, passengers }
    }
}

pub(super) fn key_of(name: &str) -> IdempotencyKey {
    IdempotencyKey { key: name.into(), request_hash: name.into() }
}

pub(super) fn passengers(mark: &str, seats: i32) -> Vec<Passenger> {
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
