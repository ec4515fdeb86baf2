//! A flight (one dated departure) and its seat inventory.

mod checks;
mod line;
mod new_flight;
mod number;
mod patch;

use super::{City, Currency, FareName, FlightId, Money, SeatCount, Timestamp};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

pub use line::Line;
pub use new_flight::NewFlight;
pub use number::{flight_number, stored_flight_number};
pub use patch::{FieldChange, FlightPatch};

/// The state of a flight. `cancelled` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum FlightStatus {
    /// Planned; on sale.
    Scheduled,
    /// Confirmed for its time; on sale.
    OnTime,
    /// Late; still on sale.
    Delayed,
    /// Departed.
    Departed,
    /// Cancelled; its bookings are cancelled and refunded.
    Cancelled,
}

impl FlightStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the flight is on sale and searches list it.
    pub const fn is_for_sale(self) -> bool {
        matches!(self, Self::Scheduled | Self::OnTime | Self::Delayed)
    }
}

/// One dated departure, as it is stored and as `GET /flights/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Flight {
    /// Id.
    pub id: FlightId,
    /// The carrier's designator, such as `UA1545`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "AB101")]
    pub flight_number: Option<Arc<str>>,
    /// City of departure.
    #[schema(value_type = String, example = "Delhi")]
    pub source: City,
    /// City of arrival.
    #[schema(value_type = String, example = "Mumbai")]
    pub destination: City,
    /// Departure.
    #[serde(rename = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    pub departs_at: Timestamp,
    /// Arrival, after departure.
    #[serde(rename = "arrival_timestamp", skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub arrives_at: Option<Timestamp>,
    /// Seats not yet paid for; changes only when a payment is captured or refunded.
    pub available_seats: SeatCount,
    /// Available seats that pending bookings hold. `available - held` can be bought now.
    pub held_seats: SeatCount,
    /// Seats sold elsewhere: `total - available` at creation; changed only by a PUT.
    pub blocked_seats: SeatCount,
    /// Seats of the aircraft.
    pub total_seats: SeatCount,
    /// State.
    pub flight_status: FlightStatus,
    /// Price of one seat: all that a passenger pays.
    pub price: Money,
    /// Part of the price that a refund always returns. 0 to the price.
    pub taxes: Money,
    /// The fare rules with which its seats are sold.
    #[serde(default)]
    #[schema(value_type = String, example = "free")]
    pub fare_rules: FareName,
    /// The price's currency.
    #[schema(value_type = String, example = "INR")]
    pub currency: Currency,
    /// The marks of its waiting list.
    #[serde(skip)]
    pub line: Line,
    /// Grows by one with each change. A commit writes a flight only if its version is the one decided on.
    #[schema(minimum = 1)]
    pub version: i64,
    /// When the flight was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the flight last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Flight {
    /// Whether only its seats and version differ from `earlier`, as after a hold.
    pub fn differs_in_inventory_alone(&self, earlier: &Self) -> bool {
        let inventory_of_self = Self {
            available_seats: self.available_seats,
            held_seats: self.held_seats,
            blocked_seats: self.blocked_seats,
            version: self.version,
            updated_at: self.updated_at,
            ..earlier.clone()
        };
        inventory_of_self == *self
    }

    /// Whether a timetable shows both alike: route, times, status, price and currency are equal.
    pub fn has_schedule_of(&self, other: &Self) -> bool {
        let facts = |f: &Self| (f.departs_at, f.arrives_at, f.flight_status, f.price, f.currency);
        facts(self) == facts(other)
            && self.source == other.source
            && self.destination == other.destination
    }

    /// Seats that can be bought now.
    pub const fn free_seats(&self) -> SeatCount {
        self.available_seats - self.held_seats
    }

    /// Whether those who wait may get seats that they did not get `earlier`: seats were freed, or price, time or
    /// status changed.
    pub fn may_serve_more_than(&self, earlier: &Self) -> bool {
        self.free_seats() > earlier.free_seats()
            || self.price != earlier.price
            || self.departs_at != earlier.departs_at
            || self.flight_status != earlier.flight_status
    }

    /// Seats of completed bookings. No change of the flight may take them.
    pub const fn sold_seats(&self) -> SeatCount {
        self.total_seats - self.blocked_seats - self.available_seats
    }

    /// The departure for rules that compare it with the clock. `None` if it had passed when the flight was
    /// created (historical data, examples): such a flight never counts as departed.
    pub fn departure(&self) -> Option<Timestamp> {
        (self.departs_at > self.created_at).then_some(self.departs_at)
    }

    /// When sale ends and searches drop the flight: `closes_before` (`BOOKING_CLOSES_BEFORE`) ahead of
    /// departure. `None`: sale never ends by the clock.
    pub fn closes_at(&self, closes_before: Option<Duration>) -> Option<Timestamp> {
        let departure = self.departure()?;
        // The margin reaches back beyond the calendar: always closed.
        Some(departure.checked_sub_signed(closes_before?).unwrap_or(Timestamp::MIN_UTC))
    }

    /// Whether the flight is on sale, by its status and by the clock.
    pub fn is_bookable(&self, now: Timestamp, closes_before: Option<Duration>) -> bool {
        let is_open = self.closes_at(closes_before).is_none_or(|closes_at| now < closes_at);
        self.flight_status.is_for_sale() && is_open
    }

    /// Whether the flight has departed, by its status, or by the clock if the clock ends sale. A traveller
    /// can't cancel afterwards. A cancelled flight never departs.
    pub fn has_departed(&self, now: Timestamp, closes_before: Option<Duration>) -> bool {
        match self.flight_status {
            FlightStatus::Departed => true,
            FlightStatus::Cancelled => false,
            FlightStatus::Scheduled | FlightStatus::OnTime | FlightStatus::Delayed => {
                closes_before.is_some() && self.departure().is_some_and(|at| at <= now)
            }
        }
    }

    /// Whether the seat counts are consistent (I1): `0 ≤ held ≤ available ≤ total`, `blocked ≥ 0`.
    pub const fn is_sound(&self) -> bool {
        0 <= self.held_seats
            && self.held_seats <= self.available_seats
            && self.available_seats <= self.total_seats
            && self.blocked_seats >= 0
            && self.sold_seats() >= 0
    }

    /// The flight at its next version, changed at `now`.
    #[must_use]
    pub fn next_version(mut self, now: Timestamp) -> Self {
        self.version += 1;
        self.updated_at = now;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    pub(super) fn flight(departs_at: &str, created_at: &str) -> Flight {
        let new = NewFlight {
            flight_number: None,
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: at(departs_at),
            arrives_at: None,
            available_seats: 9,
            total_seats: 9,
            flight_status: FlightStatus::Scheduled,
            price: Money::from_minor(250_000),
            taxes: Money::from_minor(0),
            fare_rules: FareName::default(),
        };
        new.into_flight(FlightId(1), "INR".parse().expect("a currency"), at(created_at))
    }

    #[test]
    fn a_flight_closes_before_its_departure_and_departs_at_it() {
        let flight = flight("2025-01-20T10:00:00Z", "2025-01-01T00:00:00Z");
        let margin = Some(Duration::hours(2));
        for (now, bookable, departed) in [
            ("2025-01-20T07:59:59.999999Z", true, false),
            ("2025-01-20T08:00:00Z", false, false),
            ("2025-01-20T09:59:59.999999Z", false, false),
            ("2025-01-20T10:00:00Z", false, true),
        ] {
            let seen = (flight.is_bookable(at(now), margin), flight.has_departed(at(now), margin));
            assert_eq!(seen, (bookable, departed), "{now}");
            assert!(flight.is_bookable(at(now), None) && !flight.has_departed(at(now), None));
        }
    }

    #[test]
    fn a_flight_that_had_departed_when_it_was_created_never_closes() {
        for created_at in ["2025-01-20T10:00:00Z", "2026-11-25T12:00:00Z"] {
            let flight = flight("2025-01-20T10:00:00Z", created_at);
            for margin in [Duration::zero(), Duration::hours(2), Duration::MAX] {
                let now = at("2030-01-01T00:00:00Z");
                assert_eq!(flight.closes_at(Some(margin)), None);
                assert!(flight.is_bookable(now, Some(margin)));
                assert!(!flight.has_departed(now, Some(margin)));
            }
        }
    }

    #[test]
    fn status_and_clock_decide_together_and_no_margin_overflows() {
        let mut flight = flight("2025-01-20T10:00:00Z", "2025-01-01T00:00:00Z");
        let (early, late) = (at("2025-01-02T00:00:00Z"), at("2025-01-21T00:00:00Z"));
        assert!(!flight.is_bookable(early, Some(Duration::MAX)));
        for (status, early_departed, late_departed) in [
            (FlightStatus::Delayed, false, true),
            (FlightStatus::Departed, true, true),
            (FlightStatus::Cancelled, false, false),
        ] {
            flight.flight_status = status;
            let departed = |now| flight.has_departed(now, Some(Duration::zero()));
            assert_eq!((departed(early), departed(late)), (early_departed, late_departed));
            assert!(!flight.is_bookable(late, Some(Duration::zero())), "{status:?}");
        }
    }
}
