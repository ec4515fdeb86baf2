//! Booking use cases: place, cancel, look up.

use crate::clock::Clock;
use crate::domain::{
    Booking, BookingId, BookingStatus, FlightId, Passenger, PaymentMethod, SeatCount, UserId,
};
use crate::engine::{CompletionWaiters, Engine, Error, Wait};
use crate::ids::Ids;
use crate::rules::{Cancel, CancelledBy, Hold, IdempotencyKey, Refusal, RequestKey};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;

/// A request for seats, syntactically valid.
#[derive(Debug, Clone)]
pub struct PlaceBooking {
    /// The flight.
    pub flight_id: FlightId,
    /// The user who books.
    pub user_id: UserId,
    /// Number of seats; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Vec<Passenger>,
    /// How the booking is paid.
    pub method: PaymentMethod,
    /// The caller's idempotency key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// Maximum number of seats that the user may hold unpaid on the flight, these included; `None`: no
    /// limit.
    pub pending_max: Option<SeatCount>,
}

/// A booking that this request, or an earlier one with the same key, placed.
#[derive(Debug)]
pub struct Placed {
    /// The booking as it is now.
    pub booking: Booking,
    /// Whether an earlier request with the same key placed it.
    pub replayed: bool,
    /// Whether the caller's `Prefer: wait` was honoured.
    pub waited: bool,
    /// Registered before the booking exists, so that its end can't be missed.
    wait: Option<Wait>,
}

/// A booking that this request, or an earlier one with the same key, cancelled.
#[derive(Debug)]
pub struct CancelledBooking {
    /// The booking as it is now.
    pub booking: Booking,
    /// Whether an earlier request with the same key cancelled it.
    pub replayed: bool,
}

/// Booking use cases.
#[derive(Clone)]
pub struct Bookings {
    engine: Engine,
    store: Arc<dyn Store>,
    waiters: CompletionWaiters,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Bookings {
    /// Use cases over an engine and its store.
    pub fn new(
        engine: Engine,
        store: Arc<dyn Store>,
        waiters: CompletionWaiters,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        Self { engine, store, waiters, clock, ids }
    }

    /// Holds seats. `will_wait` registers the caller for [`Self::until_ended`].
    pub async fn place(&self, request: PlaceBooking, will_wait: bool) -> Result<Placed, Error> {
        let booking_id = self.store.draw_booking_id().await?;
        let hold = Hold {
            booking_id,
            reference: self.ids.payment_reference(self.clock.now()),
            flight_id: request.flight_id,
            user_id: request.user_id,
            seats: request.seats,
            passengers: request.passengers.into(),
            method: request.method,
            idempotency: request.idempotency,
            pending_max: request.pending_max,
        };
        let wait = will_wait.then(|| self.waiters.register(booking_id)).flatten();
        let (booking, replayed) = self.engine.hold(hold).await?;
        Ok(Placed { booking, replayed, waited: false, wait })
    }

    /// Waits until the booking has ended, for at most `time`; returns the booking as it is then.
    ///
    /// Returns at once if `MAX_WAITING` callers wait already.
    pub async fn until_ended(&self, mut placed: Placed, time: Duration) -> Result<Placed, Error> {
        let id = placed.booking.id;
        if placed.booking.status == BookingStatus::Pending {
            let registered = placed.wait.take();
            let is_new = registered.as_ref().is_some_and(|wait| wait.booking() == id);
            let wait = registered.filter(|_| is_new).or_else(|| self.waiters.register(id));
            let Some(wait) = wait else { return Ok(placed) };
            if !is_new {
                // The booking may have ended before the wait was registered.
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

    /// Cancels a booking, as [`Self::booking`] has read it. The commit that cancels it also records the key;
    /// a refusal leaves the key unused.
    pub async fn cancel(
        &self,
        booking: Booking,
        by: CancelledBy,
        request: Option<RequestKey>,
    ) -> Result<CancelledBooking, Error> {
        let has_key = request.is_some();
        let cancel = Cancel { booking_id: booking.id, by, request };
        let (cancelled, replayed) = self.engine.cancel(cancel, booking.flight_id).await?;
        let booking = Booking { passengers: booking.passengers, ..cancelled };
        Ok(CancelledBooking { booking, replayed: has_key && replayed })
    }

    /// One booking.
    pub async fn booking(&self, id: BookingId) -> Result<Booking, Error> {
        let booking = self.store.booking(id).await?;
        Ok(booking.ok_or(Refusal::BookingNotFound(id))?)
    }

    /// A user's bookings, newest first: up to `limit` bookings with an id below `before`.
    pub async fn bookings_of_user(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, Error> {
        Ok(self.store.bookings_of_user(user, status, before, limit).await?)
    }
}
