//! Waiting list use cases: join, look up, leave, accept, decline.

use super::{Bookings, ChangedOrder};
use crate::clock::Clock;
use crate::domain::{
    EndReason, EntryStatus, FlightId, FlightStatus, Money, OrderRecord, Passenger, PaymentMethod,
    SeatCount, Timestamp, UserId, WaitlistId,
};
use crate::engine::{Engine, Error};
use crate::ids::Ids;
use crate::rules::{Decline, Join, Leave, Pay, Refusal, RequestKey};
use crate::store::{EntryRecord, Store};
use std::sync::Arc;

/// A request to wait for a flight; syntactically valid.
#[derive(Debug, Clone)]
pub struct WaitFor {
    /// The flight.
    pub flight_id: FlightId,
    /// The user who waits.
    pub user_id: UserId,
    /// Seats of the party; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Vec<Passenger>,
    /// How the seats are bought at once; `None`: they are offered.
    pub auto: Option<PaymentMethod>,
    /// Maximum price of a seat.
    pub max_price: Option<Money>,
    /// When the user stops waiting.
    pub until: Option<Timestamp>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// An entry with what became of it.
#[derive(Debug, Clone)]
pub struct ShownEntry {
    /// The entry and its place in the line.
    pub record: EntryRecord,
    /// The order of its booking, once it got seats.
    pub order: Option<OrderRecord>,
}

impl ShownEntry {
    /// Its state as callers see it, and why it lapsed: what became of an offer is known from its booking.
    pub fn status(&self) -> (EntryStatus, Option<EndReason>) {
        let entry = &self.record.entry;
        let stored = (entry.status, entry.reason);
        let Some(order) = self.order.as_ref().filter(|_| entry.status == EntryStatus::Offered)
        else {
            return stored;
        };
        let is_cancelled = self.record.flight_status == FlightStatus::Cancelled;
        let payment = order.order.payment.status;
        entry.ended_by(order.order.first(), payment, is_cancelled).unwrap_or(stored)
    }
}

/// Waiting list use cases.
#[derive(Clone)]
pub struct WaitingList {
    engine: Engine,
    store: Arc<dyn Store>,
    bookings: Bookings,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl WaitingList {
    /// Use cases over an engine and its store.
    pub fn new(
        engine: Engine,
        store: Arc<dyn Store>,
        bookings: Bookings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        Self { engine, store, bookings, clock, ids }
    }

    /// Puts a party at the end of a flight's line. Returns its entry, and whether an earlier request with the same key
    /// made it.
    pub async fn join(&self, wait: WaitFor) -> Result<(ShownEntry, bool), Error> {
        let join = Join {
            id: self.store.draw_booking_id().await?.into(),
            reference: self.ids.payment_reference(self.clock.now()),
            flight_id: wait.flight_id,
            user_id: wait.user_id,
            seats: wait.seats,
            passengers: wait.passengers.into(),
            auto: wait.auto,
            max_price: wait.max_price,
            until: wait.until,
            request: wait.request,
        };
        let (entry, replayed) = self.engine.join(join).await?;
        Ok((self.entry(entry.id).await?, replayed))
    }

    /// One entry.
    pub async fn entry(&self, id: WaitlistId) -> Result<ShownEntry, Error> {
        let record = self.store.entry(id).await?.ok_or(Refusal::EntryNotFound(id))?;
        let order = match record.entry.status {
            EntryStatus::Waiting | EntryStatus::Left => None,
            _ => self.store.order(id.booking()).await?,
        };
        Ok(ShownEntry { record, order })
    }

    /// Takes the party out of the line; an open offer is declined. Changes nothing if the entry is over.
    pub async fn leave(&self, entry: &ShownEntry) -> Result<(), Error> {
        let (id, flight_id) = (entry.record.entry.id, entry.record.entry.flight_id);
        let (left, _) = self.engine.leave(Leave { id, flight_id }).await?;
        if left.status != EntryStatus::Offered {
            return Ok(());
        }
        match self.engine.decline(Decline { id, request: None }).await {
            Ok(_) | Err(Error::Refused(Refusal::NoOffer(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins to pay an offer. `pay` names the entry's booking. Returns whether an earlier request with the same key
    /// did it.
    pub async fn accept(&self, entry: &ShownEntry, pay: Pay) -> Result<bool, Error> {
        let no_offer = Refusal::NoOffer(entry.record.entry.id);
        if entry.order.is_none() {
            return Err(no_offer.into());
        }
        match self.bookings.pay(pay).await {
            Ok(ChangedOrder { replayed, .. }) => Ok(replayed),
            Err(Error::Refused(Refusal::PaymentNotDue(_))) => Err(no_offer.into()),
            Err(error) => Err(error),
        }
    }

    /// Turns an offer down. Returns whether an earlier request with the same key did it.
    pub async fn decline(&self, entry: &ShownEntry, decline: Decline) -> Result<bool, Error> {
        if entry.order.is_none() {
            return Err(Refusal::NoOffer(decline.id).into());
        }
        self.engine.decline(decline).await.map(|(_, replayed)| replayed)
    }
}
