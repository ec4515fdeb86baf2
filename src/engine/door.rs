//! The engine's door: a method for each kind of call. A command is answered after its commit, never
//! before.
//!
//! Bounds: when the queue for holds is full, holds are shed ([`Error::Overloaded`]); urgent commands wait
//! for room.

use super::error::Error;
use super::job::{Job, priority_of};
use super::parts::EngineParts;
use super::queues::Priority;
use super::row_cache::RowCache;
use super::scheduler::Scheduler;
use crate::domain::{BookingId, Entry, Flight, FlightId, FlightIds, Order, PaymentReference};
use crate::rules::{
    Cancel, ChangeFlight, Command, Decline, Extend, Hold, Join, Leave, Mend, Outcome, Pay,
    PutFlight, Refusal, RetryRefund,
};
use crate::store::Located;
use crate::telemetry::{Side, Span, TraceContext};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Maximum urgent commands in the queues; beyond it their producers wait.
const URGENT_MAX: usize = 8_192;

/// The engine's bounds.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Maximum holds in the queues; beyond it holds are refused.
    pub queued_holds_max: usize,
    /// Maximum batches that run at once; they never share a flight.
    pub batches_max: usize,
    /// Minimum time between the starts of two batches; a full batch starts earlier.
    pub batch_interval_min: Duration,
}

/// The booking engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) parts: EngineParts,
    pub(super) scheduler: Mutex<Scheduler>,
    pub(super) rows: RowCache,
    /// Flights with a promotion in their queue: one waits at most.
    pub(super) promotions: Mutex<HashSet<FlightId>>,
    hold_permits: Arc<Semaphore>,
    urgent_permits: Arc<Semaphore>,
}

type Answer = oneshot::Receiver<Result<Outcome, Error>>;

impl Engine {
    /// An idle engine.
    pub fn new(parts: EngineParts, limits: EngineLimits) -> Self {
        let shared = Shared {
            hold_permits: Arc::new(Semaphore::new(limits.queued_holds_max)),
            urgent_permits: Arc::new(Semaphore::new(URGENT_MAX)),
            scheduler: Mutex::new(Scheduler::new(limits)),
            rows: RowCache::default(),
            promotions: Mutex::default(),
            parts,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Holds seats. Returns the order, and whether an earlier request with the same key made it.
    pub async fn hold(&self, hold: Hold) -> Result<(Order, bool), Error> {
        let flights = hold.flights();
        self.run_one(Command::Hold(hold), flights).await.and_then(order_of)
    }

    /// Cancels an order or a part of it. `flight`: its only flight; `None`: it is looked up. Returns the
    /// order without passengers, and whether nothing changed.
    pub async fn cancel(
        &self,
        cancel: Cancel,
        flight: Option<FlightId>,
    ) -> Result<(Order, bool), Error> {
        let command = Command::Cancel(cancel);
        let outcome = match flight {
            Some(flight) => self.run_one(command, [flight].into()).await,
            None => self.submit(command).await,
        };
        outcome.and_then(order_of)
    }

    /// Moves a booking to another flight. Returns as [`Self::pay`] does.
    pub async fn change_flight(&self, change: ChangeFlight) -> Result<(Order, bool), Error> {
        self.submit(Command::ChangeFlight(change)).await.and_then(order_of)
    }

    /// Begins an attempt to pay an order. Returns the order without passengers, and whether nothing changed.
    pub async fn pay(&self, pay: Pay) -> Result<(Order, bool), Error> {
        self.submit(Command::Pay(pay)).await.and_then(order_of)
    }

    /// Lengthens the hold of an order that is paid later. Returns as [`Self::pay`] does.
    pub async fn extend(&self, extend: Extend) -> Result<(Order, bool), Error> {
        self.submit(Command::Extend(extend)).await.and_then(order_of)
    }

    /// Corrects a passenger. Returns as [`Self::pay`] does.
    pub async fn mend(&self, mend: Mend) -> Result<(Order, bool), Error> {
        self.submit(Command::Mend(mend)).await.and_then(order_of)
    }

    /// Asks again for a refund. Returns as [`Self::pay`] does.
    pub async fn retry_refund(&self, retry: RetryRefund) -> Result<(Order, bool), Error> {
        self.submit(Command::RetryRefund(retry)).await.and_then(order_of)
    }

    /// Changes a flight's fields.
    pub async fn put_flight(&self, put: PutFlight) -> Result<Flight, Error> {
        let flights = FlightIds::from([put.flight_id]);
        self.run_one(Command::PutFlight(put), flights).await.and_then(flight_of)
    }

    /// Puts a party at the end of a flight's line. Returns its entry, and whether an earlier request with the same
    /// key made it.
    pub async fn join(&self, join: Join) -> Result<(Entry, bool), Error> {
        let flights = FlightIds::from([join.flight_id]);
        self.run_one(Command::Join(join), flights).await.and_then(entry_of)
    }

    /// Takes a party out of a flight's line. Returns its entry, and whether nothing changed.
    pub async fn leave(&self, leave: Leave) -> Result<(Entry, bool), Error> {
        let flights = FlightIds::from([leave.flight_id]);
        self.run_one(Command::Leave(leave), flights).await.and_then(entry_of)
    }

    /// Turns an offer down. Returns as [`Self::pay`] does.
    pub async fn decline(&self, decline: Decline) -> Result<(Order, bool), Error> {
        self.submit(Command::Decline(decline)).await.and_then(order_of)
    }

    /// Changes many flights, each change atomic by itself; the answers are in the order of the changes.
    pub async fn put_flights(
        &self,
        puts: Vec<PutFlight>,
    ) -> Result<Vec<Result<Flight, Error>>, Error> {
        let commands = puts.into_iter().map(Command::PutFlight).collect();
        let outcomes = self.submit_all(commands, &[]).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.and_then(flight_of)).collect())
    }

    /// Runs any one command.
    pub async fn submit(&self, command: Command) -> Result<Outcome, Error> {
        let located = self.locate(std::slice::from_ref(&command)).await?;
        let flights = located.flights_of(&command)?;
        self.run_one(command, flights).await
    }

    /// Runs many commands, located in one read; the answers are in the order of the commands. A command
    /// continues the trace at its position in `callers`, if there is one.
    pub async fn submit_all(
        &self,
        commands: Vec<Command>,
        callers: &[TraceContext],
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let located = self.locate(&commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for (position, command) in commands.into_iter().enumerate() {
            let caller = callers.get(position).unwrap_or(&TraceContext::NONE);
            answers.push(match located.flights_of(&command) {
                Ok(flights) => Ok(self.enqueue(command, flights, caller).await?),
                Err(refusal) => Err(refusal),
            });
            if self.shared.urgent_permits.available_permits() == 0 {
                self.dispatch();
            }
        }
        self.dispatch();
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(Error::Stopping)),
                Err(refusal) => Err(refusal.into()),
            });
        }
        Ok(outcomes)
    }

    /// Whether no command waits and no batch runs.
    pub fn is_idle(&self) -> bool {
        self.shared.scheduler.lock().is_idle()
    }

    /// Whether the promotion of a flight waits in its queue.
    pub fn awaits_promotion(&self, flight: FlightId) -> bool {
        self.shared.promotions.lock().contains(&flight)
    }

    async fn run_one(&self, command: Command, flights: FlightIds) -> Result<Outcome, Error> {
        let caller = self.shared.parts.tracing.current();
        let answer = self.enqueue(command, flights, &caller).await?;
        self.dispatch();
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Finds the flights of commands that name a payment or a booking: in the row cache, and the rest in
    /// one read of the store.
    async fn locate(&self, commands: &[Command]) -> Result<Located, Error> {
        let mut cached: HashMap<PaymentReference, FlightIds> = HashMap::new();
        let mut payments: Vec<PaymentReference> = Vec::new();
        let mut bookings: Vec<BookingId> = Vec::new();
        let mut look_up =
            |reference: PaymentReference| match self.shared.rows.flights_of(&reference) {
                Some(flights) => _ = cached.insert(reference, flights),
                None => payments.push(reference),
            };
        for command in commands {
            match command {
                Command::Settle(settle) => look_up(settle.reference),
                Command::Expire(reference) => look_up(*reference),
                Command::Cancel(cancel) => bookings.push(cancel.booking_id),
                Command::Pay(pay) => bookings.push(pay.booking_id),
                Command::Extend(extend) => bookings.push(extend.booking_id),
                Command::Mend(mend) => bookings.push(mend.booking_id),
                Command::ChangeFlight(change) => bookings.push(change.booking_id),
                Command::Decline(decline) => bookings.push(decline.id.booking()),
                Command::Release(booking) => bookings.push(*booking),
                Command::Dispute(dispute) => look_up(dispute.reference),
                Command::RetryRefund(retry) => look_up(retry.payment),
                Command::Hold(_)
                | Command::PutFlight(_)
                | Command::Join(_)
                | Command::Leave(_)
                | Command::Promote(_) => {}
            }
        }
        let mut located = Located::default();
        if !payments.is_empty() || !bookings.is_empty() {
            located = self.shared.parts.store.locate(&payments, &bookings).await?;
        }
        located.payments.extend(cached);
        Ok(located)
    }

    /// Adds a command to the queues of its flights, once there is room.
    async fn enqueue(
        &self,
        command: Command,
        flights: FlightIds,
        caller: &TraceContext,
    ) -> Result<Answer, Error> {
        let span = self.span_of(&command, &flights, caller);
        let permit = self.permit(priority_of(&command)).await?;
        if let Command::Promote(flight) = command {
            self.shared.promotions.lock().insert(flight);
        }
        let (mut job, answer) = Job::new(command, flights, span, *caller != TraceContext::NONE);
        job.permit = Some(permit);
        self.shared.scheduler.lock().push(job);
        Ok(answer)
    }

    async fn permit(&self, priority: Priority) -> Result<OwnedSemaphorePermit, Error> {
        match priority {
            Priority::Hold => {
                let permit = self.shared.hold_permits.clone().try_acquire_owned();
                permit.map_err(|_| Error::Overloaded)
            }
            Priority::Urgent => {
                let permit = self.shared.urgent_permits.clone().acquire_owned().await;
                permit.map_err(|_| Error::Stopping)
            }
        }
    }

    /// The span of a command's time in the engine: in its queue and in its batch.
    pub(super) fn span_of(
        &self,
        command: &Command,
        flights: &[FlightId],
        caller: &TraceContext,
    ) -> Span {
        let tracing = &self.shared.parts.tracing;
        let span = tracing.span(command.name(), Side::Internal, caller);
        match flights {
            [flight] => span.note("flight.id", flight.0),
            flights if tracing.is_on() => {
                let ids: Vec<_> = flights.iter().map(FlightId::to_string).collect();
                span.note("flight.ids", ids.join(","));
            }
            _ => {}
        }
        match command {
            Command::Hold(hold) => span.note("booking.id", hold.order_id().0),
            Command::Cancel(cancel) => span.note("booking.id", cancel.booking_id.0),
            Command::Pay(pay) => span.note("booking.id", pay.booking_id.0),
            Command::Extend(extend) => span.note("booking.id", extend.booking_id.0),
            Command::Mend(mend) => span.note("booking.id", mend.booking_id.0),
            Command::ChangeFlight(change) => span.note("booking.id", change.booking_id.0),
            Command::Release(booking) => span.note("booking.id", booking.0),
            Command::Join(join) => span.note("booking.id", join.id.0),
            Command::Decline(decline) => span.note("booking.id", decline.id.0),
            Command::Leave(leave) => span.note("booking.id", leave.id.0),
            Command::Settle(_)
            | Command::Expire(_)
            | Command::Dispute(_)
            | Command::RetryRefund(_)
            | Command::PutFlight(_)
            | Command::Promote(_) => {}
        }
        span
    }
}

impl Located {
    /// The flights whose queues a command joins.
    fn flights_of(&self, command: &Command) -> Result<FlightIds, Refusal> {
        let payment = |reference: &PaymentReference| {
            self.payments.get(reference).cloned().ok_or(Refusal::UnknownPayment(*reference))
        };
        let booking = |booking: &BookingId| {
            self.bookings.get(booking).cloned().ok_or(Refusal::BookingNotFound(*booking))
        };
        match command {
            Command::Settle(settle) => payment(&settle.reference),
            Command::Expire(reference) => payment(reference),
            Command::Cancel(cancel) => booking(&cancel.booking_id),
            Command::Pay(pay) => booking(&pay.booking_id),
            Command::Extend(extend) => booking(&extend.booking_id),
            Command::Mend(mend) => booking(&mend.booking_id),
            Command::ChangeFlight(change) => {
                let mut flights = booking(&change.booking_id)?;
                if !flights.contains(&change.flight_id) {
                    flights.push(change.flight_id);
                }
                Ok(flights)
            }
            Command::Release(released) => booking(released),
            Command::Dispute(dispute) => payment(&dispute.reference),
            Command::RetryRefund(retry) => payment(&retry.payment),
            Command::Hold(hold) => Ok(hold.flights()),
            Command::PutFlight(put) => Ok([put.flight_id].into()),
            Command::Decline(decline) => booking(&decline.id.booking()),
            Command::Join(join) => Ok([join.flight_id].into()),
            Command::Leave(leave) => Ok([leave.flight_id].into()),
            Command::Promote(flight) => Ok([*flight].into()),
        }
    }
}

/// The order in a command's answer, and whether the command is a repeat. The rules answer no such command
/// with a flight.
fn order_of(outcome: Outcome) -> Result<(Order, bool), Error> {
    match outcome {
        Outcome::Order { order, replayed } => Ok((order, replayed)),
        Outcome::Flight(_) | Outcome::Entry { .. } => Err(Error::Panicked),
    }
}

/// The flight in the answer to a change of it. The rules never answer one with a booking.
fn flight_of(outcome: Outcome) -> Result<Flight, Error> {
    match outcome {
        Outcome::Flight(flight) => Ok(flight),
        Outcome::Order { .. } | Outcome::Entry { .. } => Err(Error::Panicked),
    }
}

/// The entry in the answer to a command about one, and whether the command is a repeat.
fn entry_of(outcome: Outcome) -> Result<(Entry, bool), Error> {
    match outcome {
        Outcome::Entry { entry, replayed } => Ok((*entry, replayed)),
        Outcome::Order { .. } | Outcome::Flight(_) => Err(Error::Panicked),
    }
}
