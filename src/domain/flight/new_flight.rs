//! A flight to create.

use super::checks::{check_city, check_route, check_times};
use super::number::{check_number, flight_number};
use super::{Flight, FlightStatus, Line};
use crate::domain::{City, Currency, FareName, FlightId, Invalid, Money, SeatCount, Timestamp};
use std::sync::Arc;

/// A flight to create; [`NewFlight::checked`] checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFlight {
    /// The carrier's designator.
    pub flight_number: Option<Arc<str>>,
    /// City of departure.
    pub source: City,
    /// City of arrival.
    pub destination: City,
    /// Departure.
    pub departs_at: Timestamp,
    /// Arrival.
    pub arrives_at: Option<Timestamp>,
    /// Seats on sale here; the rest of `total_seats` is blocked.
    pub available_seats: SeatCount,
    /// Seats of the aircraft.
    pub total_seats: SeatCount,
    /// First status.
    pub flight_status: FlightStatus,
    /// Price of one seat.
    pub price: Money,
    /// Part of the price that a refund always returns.
    pub taxes: Money,
    /// The fare rules with which its seats are sold.
    pub fare_rules: FareName,
}

impl NewFlight {
    /// The largest number of seats that a flight can have.
    pub const TOTAL_SEATS_MAX: SeatCount = 10_000;

    /// The flight, trimmed, with a normalised number and its amounts in `currency`.
    ///
    /// # Errors
    ///
    /// All rules that it breaks, by field of the request.
    pub fn checked(mut self, currency: Currency) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        self.source = check_city(&mut invalid, "/source", &self.source);
        self.destination = check_city(&mut invalid, "/destination", &self.destination);
        check_route(&mut invalid, &self.source, &self.destination);
        self.flight_number = self.flight_number.map(|number| flight_number(&number).into());
        check_number(&mut invalid, self.flight_number.as_deref());
        check_times(&mut invalid, self.departs_at, self.arrives_at);
        self.price = currency.priced(&mut invalid, self.price);
        self.taxes = currency.taxed(&mut invalid, self.taxes, self.price);
        if !(1..=Self::TOTAL_SEATS_MAX).contains(&self.total_seats) {
            invalid.add("/total_seats", format!("must be 1 to {}", Self::TOTAL_SEATS_MAX));
        }
        if self.available_seats < 0 {
            invalid.add("/available_seats", "must not be negative");
        } else if self.available_seats > self.total_seats {
            invalid.add("/available_seats", "must not exceed total_seats");
        }
        invalid.or(self)
    }

    /// The flight that it becomes, with an id and a time of creation.
    pub fn into_flight(self, id: FlightId, currency: Currency, now: Timestamp) -> Flight {
        Flight {
            id,
            flight_number: self.flight_number,
            source: self.source,
            destination: self.destination,
            departs_at: self.departs_at,
            arrives_at: self.arrives_at,
            available_seats: self.available_seats,
            held_seats: 0,
            blocked_seats: self.total_seats - self.available_seats,
            total_seats: self.total_seats,
            flight_status: self.flight_status,
            price: self.price,
            taxes: self.taxes,
            fare_rules: self.fare_rules,
            currency,
            line: Line::default(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}
