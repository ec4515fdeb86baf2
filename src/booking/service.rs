//! Booking use cases: place, cancel, look up.

use crate::clock::Clock;
use crate::domain::{
    Booking, BookingId, BookingStatus, DaySales, Disruption, FailureReason, FlightId, FlightIds,
    LastName, Money, Order, OrderRecord, Passenger, PaymentMethod, PaymentReference, PaymentStatus,
    RefundId, SeatCount, TimelineEvent, UserId,
};
use crate::engine::{CompletionWaiters, Engine, Error, Wait};
use crate::ids::Ids;
use crate::rules::{
    Cancel, CancellationQuote, ChangeFlight, Extend, HeldSegment, Hold, IdempotencyKey, Mend, Pay,
    Policy, Refusal, RequestKey, RetryRefund, State, Wanted, quote,
};
use crate::store::Store;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The shortest and the longest interval at which a payment that a caller waits for is looked at.
const LOOK_INTERVALS: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(800));

/// The id that is read where there is none to read.
const NO_ORDER: BookingId = BookingId(0);

/// A request for seats on one flight, or on all flights of an order; syntactically valid.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The flights, 1 to 8, in the order of travel, none twice.
    pub flights: FlightIds,
    /// The user who books.
    pub user_id: UserId,
    /// Number of seats on each flight; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Vec<Passenger>,
    /// How the order is paid at once; `None`: it is paid later.
    pub method: Option<PaymentMethod>,
    /// The caller's idempotency key for a booking, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The caller's idempotency key for an itinerary, if it sent one.
    pub request: Option<RequestKey>,
    /// Maximum number of seats that the user may hold unpaid on a flight, these included; `None`: no
    /// limit.
    pub pending_max: Option<SeatCount>,
    /// The price of all seats that the caller has seen; refused if it is another now.
    pub expected_price: Option<Money>,
}

/// An order that this request, or an earlier one with the same key, placed.
#[derive(Debug)]
pub struct Placed {
    /// The order as it is now.
    pub order: Order,
    /// Whether an earlier request with the same key placed it.
    pub replayed: bool,
    /// Whether the caller's `Prefer: wait` was honoured.
    pub waited: bool,
    /// Registered before the order exists, so that its end can't be missed.
    wait: Option<Wait>,
}

/// An order that this request, or an earlier one with the same key, cancelled in part or whole.
#[derive(Debug)]
pub struct CancelledOrder {
    /// The order as it is now, without passengers.
    pub order: Order,
    /// Whether an earlier request with the same key cancelled it.
    pub replayed: bool,
}

/// A request to move a booking to another flight; syntactically valid.
#[derive(Debug, Clone)]
pub struct MoveBooking {
    /// The booking.
    pub booking_id: BookingId,
    /// The user of the booking.
    pub user_id: UserId,
    /// The flight to move it to.
    pub flight_id: FlightId,
    /// How a difference is paid.
    pub method: PaymentMethod,
    /// What the caller expects to pay, or below zero to get back.
    pub expected_difference: Option<Money>,
    /// Maximum number of seats that the user may hold unpaid on a flight; `None`: no limit.
    pub pending_max: Option<SeatCount>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// An order that this request, or an earlier one with the same key, began to pay, extended, corrected or changed.
#[derive(Debug)]
pub struct ChangedOrder {
    /// The order as it is now, without passengers.
    pub order: Order,
    /// Whether an earlier request with the same key did it.
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
    policy: Policy,
}

impl Bookings {
    /// Use cases over an engine and its store.
    pub fn new(
        engine: Engine,
        store: Arc<dyn Store>,
        waiters: CompletionWaiters,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        policy: Policy,
    ) -> Self {
        Self { engine, store, waiters, clock, ids, policy }
    }

    /// Holds seats. `will_wait` registers the caller for [`Self::until_ended`].
    pub async fn place(&self, request: PlaceOrder, will_wait: bool) -> Result<Placed, Error> {
        let mut segments = SmallVec::new();
        for flight_id in request.flights {
            segments
                .push(HeldSegment { booking_id: self.store.draw_booking_id().await?, flight_id });
        }
        let hold = Hold {
            segments,
            reference: self.ids.payment_reference(self.clock.now()),
            user_id: request.user_id,
            seats: request.seats,
            passengers: request.passengers.into(),
            method: request.method,
            idempotency: request.idempotency,
            request: request.request,
            pending_max: request.pending_max,
            expected_price: request.expected_price,
        };
        let wait = will_wait.then(|| self.waiters.register(hold.order_id())).flatten();
        let (order, replayed) = self.engine.hold(hold).await?;
        Ok(Placed { order, replayed, waited: false, wait })
    }

    /// Waits until the order has ended, for at most `time`; returns it as it is then. An order of one booking
    /// comes without passengers.
    ///
    /// Returns at once if `MAX_WAITING` callers wait already.
    pub async fn until_ended(&self, mut placed: Placed, time: Duration) -> Result<Placed, Error> {
        let id = placed.order.id();
        if placed.order.status() == BookingStatus::Pending {
            let registered = placed.wait.take();
            let is_new = registered.as_ref().is_some_and(|wait| wait.booking() == id);
            let wait = registered.filter(|_| is_new).or_else(|| self.waiters.register(id));
            let Some(wait) = wait else { return Ok(placed) };
            if !is_new {
                // The order may have ended before the wait was registered.
                placed.order = self.order(id).await?.order;
            }
            if placed.order.status() == BookingStatus::Pending {
                let look = async || {
                    let booking = self.booking(id).await.ok()?;
                    (booking.status != BookingStatus::Pending).then_some(booking)
                };
                let ended = wait.within(time, look).await;
                let payment = ended.as_ref().and_then(payment_of);
                placed.order = match (ended, payment, &mut *placed.order.bookings) {
                    (Some(ended), Some(payment), [alone]) => {
                        *alone = ended;
                        if !planted!(ended_order_shows_an_open_payment) {
                            placed.order.payment.status = payment;
                        }
                        placed.order
                    }
                    _ => self.order(id).await?.order,
                };
            }
        }
        Ok(Placed { waited: true, ..placed })
    }

    /// Cancels an order, or a part of it. `booking`: that which the command names. The commit that cancels it also
    /// records the key; a refusal leaves the key unused.
    pub async fn cancel(&self, booking: &Booking, cancel: Cancel) -> Result<CancelledOrder, Error> {
        let has_key = cancel.request.is_some();
        let flight = (booking.segments == 1).then_some(booking.flight_id);
        let (order, replayed) = self.engine.cancel(cancel, flight).await?;
        Ok(CancelledOrder { order, replayed: has_key && replayed })
    }

    /// What a cancellation of now would give back.
    pub async fn quote(&self, cancel: &Cancel) -> Result<CancellationQuote, Error> {
        let bookings = [cancel.booking_id].into();
        let mut wanted = Wanted { bookings, fares: true, ..Wanted::default() };
        let mut state = self.store.load(&wanted).await?;
        wanted = Wanted { flights: flights_of(&state), ..Wanted::default() };
        state.extend(self.store.load(&wanted).await?);
        Ok(quote(&state, cancel, self.clock.now(), &self.policy)?)
    }

    /// Begins an attempt to pay an order that was held to be paid later. Its outcome follows.
    pub async fn pay(&self, pay: Pay) -> Result<ChangedOrder, Error> {
        let (order, replayed) = self.engine.pay(pay).await?;
        Ok(ChangedOrder { order, replayed })
    }

    /// Lengthens the hold of an order that is paid later.
    pub async fn extend(&self, extend: Extend) -> Result<ChangedOrder, Error> {
        let (order, replayed) = self.engine.extend(extend).await?;
        Ok(ChangedOrder { order, replayed })
    }

    /// Corrects a passenger's contact data.
    pub async fn mend(&self, mend: Mend) -> Result<ChangedOrder, Error> {
        let (order, replayed) = self.engine.mend(mend).await?;
        Ok(ChangedOrder { order, replayed })
    }

    /// Asks again for a refund that the gateway refused. Returns the refund's order without passengers, and whether
    /// an earlier request with the same key did it.
    pub async fn retry_refund(&self, retry: RetryRefund) -> Result<(Order, bool), Error> {
        self.engine.retry_refund(retry).await
    }

    /// The payment of a refund; `None`: there is no such refund.
    pub async fn payment_of_refund(&self, id: RefundId) -> Result<Option<PaymentReference>, Error> {
        let asked = self.store.refunds_asked(&[id]).await?;
        Ok(asked.get(&id).map(|refund| refund.payment))
    }

    /// Moves a booking to another flight, or holds the seats there until the difference is paid.
    pub async fn change_flight(&self, request: MoveBooking) -> Result<ChangedOrder, Error> {
        let change = ChangeFlight {
            booking_id: request.booking_id,
            flight_id: request.flight_id,
            user_id: request.user_id,
            method: request.method,
            expected_difference: request.expected_difference,
            replacement_id: self.store.draw_booking_id().await?,
            reference: self.ids.payment_reference(self.clock.now()),
            pending_max: request.pending_max,
            request: request.request,
        };
        let (order, replayed) = self.engine.change_flight(change).await?;
        Ok(ChangedOrder { order, replayed })
    }

    /// Waits until the payment of a change has an outcome, or its payer must act, for at most `time`. Otherwise as
    /// [`Self::until_paid`].
    pub async fn until_changed(
        &self,
        of: BookingId,
        time: Duration,
    ) -> Result<(OrderRecord, bool), Error> {
        self.until(of, time, OrderRecord::is_changing).await
    }

    /// Waits until the last payment that the order's user has begun has an outcome, or its payer must act, for at
    /// most `time`. Returns the order of the booking as it is then, and whether the wait was honoured.
    ///
    /// Does not wait if `MAX_WAITING` callers wait already. The outcome of an attempt may be settled by any
    /// replica, and only the end of the order is told to all, so the order is read at growing intervals.
    pub async fn until_paid(
        &self,
        of: BookingId,
        time: Duration,
    ) -> Result<(OrderRecord, bool), Error> {
        self.until(of, time, OrderRecord::is_paying).await
    }

    /// Waits for at most `time` while the order of a booking is in a state.
    async fn until(
        &self,
        of: BookingId,
        time: Duration,
        is_waiting: fn(&OrderRecord) -> bool,
    ) -> Result<(OrderRecord, bool), Error> {
        let mut record = self.order(of).await?;
        if time.is_zero() {
            return Ok((record, false));
        }
        let Some(wait) = self.waiters.register(record.order.id()) else {
            return Ok((record, false));
        };
        let (mut interval, until) = (LOOK_INTERVALS.0, Instant::now() + time);
        while is_waiting(&record) && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            wait.news_within(interval.min(left)).await;
            interval = (interval * 2).min(LOOK_INTERVALS.1);
            record = self.order(of).await?;
        }
        Ok((record, true))
    }

    /// The order of a booking, with its passengers and refunds.
    pub async fn order(&self, of: BookingId) -> Result<OrderRecord, Error> {
        let order = self.store.order(of).await?;
        Ok(order.ok_or(Refusal::BookingNotFound(of))?)
    }

    /// The order with this id, if one of its passengers has this last name; `None` without an order too. The store is
    /// read and names are compared in any case, so that misses take alike.
    pub async fn find(
        &self,
        order: Option<BookingId>,
        name: &LastName,
    ) -> Result<Option<OrderRecord>, Error> {
        let record = self.store.order(order.unwrap_or(NO_ORDER)).await?;
        let is_found =
            |r: &OrderRecord| r.order.has_passenger_called(name) & (order == Some(r.order.id()));
        Ok(record.filter(is_found))
    }

    /// One booking.
    pub async fn booking(&self, id: BookingId) -> Result<Booking, Error> {
        let booking = self.store.booking(id).await?;
        Ok(booking.ok_or(Refusal::BookingNotFound(id))?)
    }

    /// What happened to a booking, in ascending order.
    pub async fn timeline(&self, of: BookingId) -> Result<Vec<TimelineEvent>, Error> {
        let missing = || Refusal::BookingNotFound(of);
        let life = self.store.life(of).await?.ok_or_else(missing)?;
        let mut all = life.record.order.bookings.iter();
        let booking = all.find(|booking| booking.id == of).ok_or_else(missing)?;
        Ok(life.timeline(booking))
    }

    /// What became of the bookings of a flight that was cancelled or moved.
    pub async fn disruption(&self, flight: FlightId) -> Result<Disruption, Error> {
        let disruption = self.store.disruption(flight).await?;
        Ok(disruption.ok_or(Refusal::FlightNotFound(flight))?)
    }

    /// What a flight sold and took back, by day.
    pub async fn sales(&self, flight: FlightId) -> Result<Vec<DaySales>, Error> {
        let days = self.store.sales(flight).await?;
        Ok(days.ok_or(Refusal::FlightNotFound(flight))?)
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

    /// A flight's bookings by id: up to `limit` bookings with an id above `after`.
    pub async fn bookings_of_flight(
        &self,
        flight: FlightId,
        status: Option<BookingStatus>,
        after: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, Error> {
        let found = self.store.bookings_of_flight(flight, status, after, limit).await?;
        if found.is_empty() && self.store.flight(flight).await?.is_none() {
            return Err(Refusal::FlightNotFound(flight).into());
        }
        Ok(found)
    }
}

/// The flights of loaded bookings.
fn flights_of(state: &State) -> BTreeSet<FlightId> {
    state.bookings.values().map(|booking| booking.flight_id).collect()
}

/// The status of the payment of a booking that has just ended; `None` if it does not follow from the booking.
fn payment_of(ended: &Booking) -> Option<PaymentStatus> {
    match (ended.status, ended.failure_reason) {
        (BookingStatus::Completed, _) => Some(PaymentStatus::Captured),
        (BookingStatus::Failed, Some(FailureReason::PaymentDeclined)) => {
            Some(PaymentStatus::Declined)
        }
        _ => None,
    }
}
