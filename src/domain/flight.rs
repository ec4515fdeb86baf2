//! A flight (one dated departure) and its seat inventory.

use super::city::city_key;
use super::flight_number::{check_number, flight_number};
use super::{City, Currency, FlightId, Invalid, Money, SeatCount, Timestamp};
use chrono::{Datelike, Duration};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The state of a flight. `cancelled` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
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
    /// Every status, in the order of a flight's life.
    pub const ALL: [Self; 5] =
        [Self::Scheduled, Self::OnTime, Self::Delayed, Self::Departed, Self::Cancelled];

    /// The word on the wire and in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::OnTime => "on_time",
            Self::Delayed => "delayed",
            Self::Departed => "departed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
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
    /// Those of them that pending bookings hold. The difference can be bought now.
    pub held_seats: SeatCount,
    /// Seats sold elsewhere: `total - available` at creation; changed only by a PUT.
    pub blocked_seats: SeatCount,
    /// Seats of the aircraft.
    pub total_seats: SeatCount,
    /// State.
    pub flight_status: FlightStatus,
    /// Price of one seat.
    pub price: Money,
    /// The price's currency.
    #[schema(value_type = String, example = "INR")]
    pub currency: Currency,
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
    /// Whether it differs from `earlier` at most in its seats and version, as after a hold.
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

    /// Seats that can be bought now.
    pub const fn free_seats(&self) -> SeatCount {
        self.available_seats - self.held_seats
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
}

impl NewFlight {
    /// The largest number of seats that a flight can have.
    pub const TOTAL_SEATS_MAX: SeatCount = 10_000;

    /// The flight, trimmed, with a normalised number and its price in `currency`.
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
            currency,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

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

/// The column is a `VARCHAR(100)`.
const PLACE_CHARS_MAX: usize = 100;

fn check_city(invalid: &mut Invalid, pointer: &str, place: &str) -> City {
    let place = place.trim();
    if place.is_empty() || place.chars().count() > PLACE_CHARS_MAX {
        invalid.add(pointer, format!("must be 1 to {PLACE_CHARS_MAX} characters"));
    } else if place.chars().any(char::is_control) {
        invalid.add(pointer, "must not hold control characters");
    } else if city_key(place).is_empty() {
        invalid.add(pointer, "must hold a character that can be seen");
    }
    place.into()
}

fn check_route(invalid: &mut Invalid, source: &str, destination: &str) {
    if !source.is_empty() && city_key(source) == city_key(destination) {
        invalid.add("/destination", "must differ from source");
    }
}

fn check_times(invalid: &mut Invalid, departs_at: Timestamp, arrives_at: Option<Timestamp>) {
    let in_range = |instant: Timestamp| (1970..=9999).contains(&instant.year());
    if !in_range(departs_at) {
        invalid.add("/timestamp", "must be in the years 1970 to 9999");
    }
    if arrives_at.is_some_and(|arrival| !in_range(arrival)) {
        invalid.add("/arrival_timestamp", "must be in the years 1970 to 9999");
    } else if arrives_at.is_some_and(|arrival| arrival <= departs_at) {
        invalid.add("/arrival_timestamp", "must be after timestamp");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn flight(departs_at: &str, created_at: &str) -> Flight {
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
        };
        new.into_flight(FlightId(1), "INR".parse().expect("a currency"), at(created_at))
    }

    #[test]
    fn a_flight_of_another_service_is_changed_and_cancelled_whatever_its_size_and_times() {
        let mut ferry = flight("2025-01-20T10:00:00Z", "2025-01-01T00:00:00Z");
        (ferry.available_seats, ferry.total_seats) = (11_000, 12_000);
        ferry.blocked_seats = 900;
        ferry.arrives_at = Some(ferry.departs_at);
        ferry.flight_number = Some("no designator at all".into());
        let cancelled =
            FlightPatch { flight_status: Some(FlightStatus::Cancelled), ..FlightPatch::default() };
        let after = cancelled.apply(&ferry).expect("it is cancelled");
        assert_eq!(after, Flight { flight_status: FlightStatus::Cancelled, ..ferry.clone() });
        // What was read can be sent back, with another price and other seats for sale.
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
        // What changes is bound to the rules.
        let larger = FlightPatch { total_seats: Some(12_001), ..FlightPatch::default() };
        assert!(larger.apply(&ferry).is_err());
        let late = FlightPatch {
            departs_at: Some(ferry.departs_at + Duration::hours(1)),
            ..FlightPatch::default()
        };
        assert!(late.apply(&ferry).is_err());
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
    fn status_counts_beside_the_clock_and_no_margin_overflows() {
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
