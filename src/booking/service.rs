//! Booking use cases: place, cancel, look up.

use crate::clock::Clock;
use crate::domain::{
    Booking, BookingId, BookingStatus, FlightId, Passenger, PaymentMethod, PaymentReference,
    SeatCount, UserId,
};
use crate::engine::{CompletionWaiters, Engine, Error, Wait};
use crate::rules::{
    Cancel, CancelledBy, Command, Hold, IdempotencyKey, Outcome, Refusal, RequestKey,
};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;

/// A party's wish for seats, checked for form.
#[derive(Debug, Clone)]
pub struct PlaceBooking {
    /// The flight.
    pub flight_id: FlightId,
    /// Who books.
    pub user_id: UserId,
    /// How many seats; as many as passengers.
    pub seats: SeatCount,
    /// Who flies.
    pub passengers: Vec<Passenger>,
    /// How it will be paid.
    pub method: PaymentMethod,
    /// The caller's own name for this request, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
    /// Seats on the flight that the user may hold unpaid with these; `None`: any number.
    pub pending_max: Option<SeatCount>,
}

/// A booking that was placed, now or by an earlier request with the same key.
#[derive(Debug)]
pub struct Placed {
    /// The booking as it is now.
    pub booking: Booking,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
    /// Whether a caller's wish to wait was granted.
    pub waited: bool,
    /// Begun before the booking was there, so that its end can't be missed.
    wait: Option<Wait>,
}

/// A booking that was given up, now or by an earlier request with the same key.
#[derive(Debug)]
pub struct CancelledBooking {
    /// The booking as it is now.
    pub booking: Booking,
    /// Whether an earlier request with the same key came.
    pub replayed: bool,
}

/// Booking use cases.
#[derive(Clone)]
pub struct Bookings {
    engine: Engine,
    store: Arc<dyn Store>,
    waiting: CompletionWaiters,
    clock: Arc<dyn Clock>,
}

impl Bookings {
    /// Use cases over an engine and its store.
    pub fn new(
        engine: Engine,
        store: Arc<dyn Store>,
        waiting: CompletionWaiters,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { engine, store, waiting, clock }
    }

    /// Holds seats. Who wants to wait for the booking's end ([`Self::until_ended`]) says so here.
    pub async fn place(&self, request: PlaceBooking, will_wait: bool) -> Result<Placed, Error> {
        let booking_id = self.store.draw_booking_id().await?;
        let command = Command::Hold(Hold {
            booking_id,
            reference: PaymentReference::draw(self.clock.now()),
            flight_id: request.flight_id,
            user_id: request.user_id,
            seats: request.seats,
            passengers: request.passengers.into(),
            method: request.method,
            idempotency: request.idempotency,
            pending_max: request.pending_max,
        });
        let wait = will_wait.then(|| self.waiting.for_end_of(booking_id)).flatten();
        match self.engine.submit(command).await? {
            Outcome::Booking { booking, replayed } => {
                Ok(Placed { booking, replayed, waited: false, wait })
            }
            Outcome::Flight(flight) => unreachable!("a hold answered with flight {}", flight.id),
        }
    }

    /// What was placed once it has ended, or as it is when the time is up.
    ///
    /// Beyond the bound on waiting callers (`MAX_WAITING`) it comes back at once, as it is.
    pub async fn until_ended(&self, mut placed: Placed, time: Duration) -> Result<Placed, Error> {
        let id = placed.booking.id;
        if placed.booking.status == BookingStatus::Pending {
            let begun = placed.wait.take();
            let is_new = begun.as_ref().is_some_and(|wait| wait.booking() == id);
            let wait = begun.filter(|_| is_new).or_else(|| self.waiting.for_end_of(id));
            let Some(wait) = wait else { return Ok(placed) };
            if !is_new {
                // It may have ended before we began to wait.
                placed.booking = self.booking(id).await?;
            }
            if placed.booking.status == BookingStatus::Pending {
                let look = async || {
                    let booking = self.booking(id).await.ok()?;
                    (booking.status != BookingStatus::Pending).then_some(booking)
                };
                placed.booking = match wait.within(time, look).await {
                    Some(ended) => ended,
                    None => self.booking(id).await?,
                };
            }
        }
        Ok(Placed { waited: true, ..placed })
    }

    /// Gives a booking up. A key is written by the commit that cancels; a refusal leaves it free.
    pub async fn cancel(
        &self,
        read: Booking,
        by: CancelledBy,
        request: Option<RequestKey>,
    ) -> Result<CancelledBooking, Error> {
        let has_key = request.is_some();
        let command = Command::Cancel(Cancel { booking_id: read.id, by, request });
        match self.engine.submit(command).await? {
            Outcome::Booking { booking, replayed } => {
                // The engine's rows have no passengers, and no command changes them.
                let booking = Booking { passengers: read.passengers, ..booking };
                Ok(CancelledBooking { booking, replayed: has_key && replayed })
            }
            Outcome::Flight(flight) => {
                unreachable!("a cancellation answered with flight {}", flight.id)
            }
        }
    }

    /// One booking.
    pub async fn booking(&self, id: BookingId) -> Result<Booking, Error> {
        let booking = self.store.booking(id).await?;
        Ok(booking.ok_or(Refusal::BookingNotFound(id))?)
    }

    /// A user's bookings, newest first: those older than `before`, at most `limit`.
    pub async fn of_user(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, Error> {
        Ok(self.store.user_bookings(user, status, before, limit).await?)
    }
}
