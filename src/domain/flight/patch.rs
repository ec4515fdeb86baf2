//! Changes of a flight's fields, as a PUT asks for them.

use super::checks::{check_city, check_route, check_times};
use super::number::{check_number, flight_number};
use super::{Flight, FlightStatus, NewFlight};
use crate::domain::{City, FareName, Invalid, Money, SeatCount, Timestamp};
use std::sync::Arc;

/// What a PUT does with an optional field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FieldChange<T> {
    /// Keeps it.
    #[default]
    Keep,
    /// Removes it.
    Clear,
    /// Sets it.
    Set(T),
}

impl<T: Clone> FieldChange<T> {
    /// The field's value after the change.
    fn apply(&self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

/// The fields that a PUT changes; the others keep their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlightPatch {
    /// A new designator.
    pub flight_number: FieldChange<Arc<str>>,
    /// A new source.
    pub source: Option<City>,
    /// A new destination.
    pub destination: Option<City>,
    /// A new departure.
    pub departs_at: Option<Timestamp>,
    /// A new arrival.
    pub arrives_at: FieldChange<Timestamp>,
    /// New number of seats on sale; blocked seats follow.
    pub available_seats: Option<SeatCount>,
    /// New number of seats of the aircraft; alone, it keeps blocked seats and changes available ones.
    pub total_seats: Option<SeatCount>,
    /// A new status.
    pub flight_status: Option<FlightStatus>,
    /// A new price of one seat.
    pub price: Option<Money>,
    /// New taxes of one seat.
    pub taxes: Option<Money>,
    /// Other fare rules for seats sold from now on.
    pub fare_rules: Option<FareName>,
    /// Currency of the price; refused unless it is the flight's.
    pub currency: Option<Arc<str>>,
}

impl FlightPatch {
    /// Whether it changes a seat count, which is safe only against a known version.
    pub const fn moves_seats(&self) -> bool {
        self.available_seats.is_some() || self.total_seats.is_some()
    }

    /// `flight` with the named fields replaced and `blocked_seats` recomputed.
    ///
    /// Only changed fields are checked: a flight from the database of an earlier service may break the
    /// rules of new flights (number of seats, times) and can still be changed and cancelled.
    ///
    /// Seat counts may be inconsistent in the result; the caller checks [`Flight::is_sound`].
    pub fn apply(&self, flight: &Flight) -> Result<Flight, Invalid> {
        let mut invalid = Invalid::default();
        let mut after = flight.clone();
        if let Some(source) = self.source.as_ref().filter(|new| **new != flight.source) {
            after.source = check_city(&mut invalid, "/source", source);
        }
        if let Some(new) = self.destination.as_ref().filter(|new| **new != flight.destination) {
            after.destination = check_city(&mut invalid, "/destination", new);
        }
        if after.source != flight.source || after.destination != flight.destination {
            check_route(&mut invalid, &after.source, &after.destination);
        }
        if let FieldChange::Set(number) = &self.flight_number {
            after.flight_number = Some(flight_number(number).into());
        } else {
            after.flight_number = self.flight_number.apply(after.flight_number);
        }
        if after.flight_number != flight.flight_number {
            check_number(&mut invalid, after.flight_number.as_deref());
        }
        after.departs_at = self.departs_at.unwrap_or(after.departs_at);
        after.arrives_at = self.arrives_at.apply(after.arrives_at);
        if (after.departs_at, after.arrives_at) != (flight.departs_at, flight.arrives_at) {
            check_times(&mut invalid, after.departs_at, after.arrives_at);
        }
        after.flight_status = self.flight_status.unwrap_or(after.flight_status);
        let price = self.price.unwrap_or(after.price);
        // An equal amount is checked too: its text may be ambiguous.
        if price != flight.price || price.in_currency(after.currency).is_err() {
            after.price = after.currency.priced(&mut invalid, price);
        }
        after.taxes = self.taxes.unwrap_or(after.taxes);
        if self.taxes.is_some() || after.price != flight.price {
            after.taxes = after.currency.taxed(&mut invalid, after.taxes, after.price);
        }
        if let Some(rules) = &self.fare_rules {
            after.fare_rules = rules.clone();
        }
        if let Some(currency) = &self.currency {
            flight.currency.check(&mut invalid, currency);
        }
        self.apply_seats(&mut invalid, &mut after);
        invalid.or(after)
    }

    fn apply_seats(&self, invalid: &mut Invalid, after: &mut Flight) {
        let (was, sold) = (after.total_seats, after.sold_seats());
        after.total_seats = self.total_seats.unwrap_or(after.total_seats);
        let largest = NewFlight::TOTAL_SEATS_MAX;
        let is_new = self.total_seats.is_some_and(|new| new != was);
        if is_new && !(1..=largest).contains(&after.total_seats) {
            invalid.add("/total_seats", format!("must be 1 to {largest}"));
            return;
        }
        if let Some(available) = self.available_seats {
            if available < 0 {
                invalid.add("/available_seats", "must not be negative");
            } else if available > after.total_seats {
                invalid.add("/available_seats", "must not exceed total_seats");
            } else {
                after.available_seats = available;
                after.blocked_seats = after.total_seats - available - sold;
            }
        } else {
            after.available_seats = after.total_seats - after.blocked_seats - sold;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::flight;
    use super::*;
    use chrono::Duration;

    #[test]
    fn a_flight_of_another_service_that_breaks_our_rules_can_be_changed_and_cancelled() {
        let mut ferry = flight("2025-01-20T10:00:00Z", "2025-01-01T00:00:00Z");
        (ferry.available_seats, ferry.total_seats) = (11_000, 12_000);
        ferry.blocked_seats = 900;
        ferry.arrives_at = Some(ferry.departs_at);
        ferry.flight_number = Some("no designator at all".into());
        let cancelled =
            FlightPatch { flight_status: Some(FlightStatus::Cancelled), ..FlightPatch::default() };
        let after = cancelled.apply(&ferry).expect("it is cancelled");
        assert_eq!(after, Flight { flight_status: FlightStatus::Cancelled, ..ferry.clone() });
        // A client may send back what it has read, with another price and other seats for sale.
        let sent_back = FlightPatch {
            flight_number: FieldChange::Set("no designator at all".into()),
            source: Some(ferry.source.clone()),
            destination: Some(ferry.destination.clone()),
            departs_at: Some(ferry.departs_at),
            arrives_at: FieldChange::Set(ferry.departs_at),
            available_seats: Some(11_500),
            total_seats: Some(12_000),
            flight_status: None,
            price: Some(Money::from_minor(1)),
            ..FlightPatch::default()
        };
        let after = sent_back.apply(&ferry).expect("it is changed");
        assert_eq!((after.available_seats, after.blocked_seats), (11_500, 400));
        // Changed fields must keep the rules.
        let larger = FlightPatch { total_seats: Some(12_001), ..FlightPatch::default() };
        assert!(larger.apply(&ferry).is_err());
        let late = FlightPatch {
            departs_at: Some(ferry.departs_at + Duration::hours(1)),
            ..FlightPatch::default()
        };
        assert!(late.apply(&ferry).is_err());
    }
}
