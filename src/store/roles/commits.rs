//! The booking engine's role: load a batch's rows, write its changes.

use crate::domain::{BookingId, FlightId, FlightIds, PaymentReference};
use crate::rules::{ChangeSet, State, Wanted};
use crate::store::{Committed, StoreError};
use async_trait::async_trait;
use std::collections::HashMap;

/// Loads and commits batches.
#[async_trait]
pub trait Commits: Send + Sync + 'static {
    /// Loads the rows that a batch needs, bookings without their passengers. Missing rows are left out;
    /// unreadable ones are named in [`State::unreadable`].
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError>;

    /// Writes a batch's changes in one durable transaction: each command's changes whole or not at all.
    ///
    /// A command writes nothing if one of its rows has changed since it was loaded. The answer names
    /// these commands, to be loaded and decided again. After [`StoreError::Unavailable`] the outcome is
    /// unknown; after any other error nothing was written.
    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError>;

    /// The flights of the orders of payments and bookings. Unknown ones are left out.
    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError>;

    /// Draws a booking's number. Numbers that are drawn and not used leave gaps.
    async fn draw_booking_id(&self) -> Result<BookingId, StoreError>;

    /// Draws a number in place of one that another booking has. Later numbers are higher than every
    /// stored one, except those written by hand that are too high to leave room.
    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError>;
}

/// The flights of the orders of payments and bookings.
#[derive(Debug, Default)]
pub struct Located {
    /// The flights of each known payment.
    pub payments: HashMap<PaymentReference, FlightIds>,
    /// The flights of each known booking's order.
    pub bookings: HashMap<BookingId, FlightIds>,
}

impl Located {
    /// Adds a flight of a payment's order.
    pub fn add_payment(&mut self, payment: PaymentReference, flight: FlightId) {
        add(self.payments.entry(payment).or_default(), flight);
    }

    /// Adds a flight of a booking's order.
    pub fn add_booking(&mut self, booking: BookingId, flight: FlightId) {
        add(self.bookings.entry(booking).or_default(), flight);
    }
}

fn add(flights: &mut FlightIds, flight: FlightId) {
    if !flights.contains(&flight) {
        flights.push(flight);
    }
}
