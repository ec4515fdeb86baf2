//! Sample flights for an empty database: fifteen fixed ones, and a domestic timetable that goes on
//! as the days pass.
//!
//! Pure: the same instant gives the same flights, so a test may count on them.

use crate::domain::{Currency, FareName, FlightStatus, Money, NewFlight, SeatCount, Timestamp};
use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, TimeDelta, Weekday};
use std::ops::Range;

/// Days that the timetable covers, beginning with today.
const DAYS: u64 = 22;

/// Departures lie between 05:30 and 22:00 local time, in minutes after midnight.
const FIRST_DEPARTURE: usize = 330;
const DEPARTURE_WINDOW: usize = 990;

/// India's offset from UTC, the whole year round.
const IST: FixedOffset = FixedOffset::east_opt(5 * 3600 + 1800).expect("half past five");

/// A city: its name, where it lies in degrees, and how busy it is (3 a metropolis, 1 a small one).
struct City {
    name: &'static str,
    latitude: f64,
    longitude: f64,
    weight: usize,
}

const CITIES: [City; 12] = [
    city("Delhi", 28.56, 77.10, 3),
    city("Mumbai", 19.09, 72.87, 3),
    city("Bangalore", 13.20, 77.71, 3),
    city("Hyderabad", 17.24, 78.43, 2),
    city("Chennai", 12.99, 80.17, 2),
    city("Kolkata", 22.65, 88.45, 2),
    city("Pune", 18.58, 73.92, 1),
    city("Ahmedabad", 23.07, 72.63, 1),
    city("Goa", 15.38, 73.83, 1),
    city("Jaipur", 26.82, 75.81, 1),
    city("Kochi", 10.15, 76.40, 1),
    city("Lucknow", 26.76, 80.88, 1),
];

const fn city(name: &'static str, latitude: f64, longitude: f64, weight: usize) -> City {
    City { name, latitude, longitude, weight }
}

/// Source, destination, January's day and hour in 2025 (UTC), available and total seats, price.
type Fixed = (&'static str, &'static str, u8, u8, SeatCount, SeatCount, i64);

/// The first fifteen flights, which get the ids 1 to 15 in an empty database.
const FIXED: [Fixed; 15] = [
    ("Delhi", "Mumbai", 15, 10, 150, 180, 2500),
    ("Delhi", "Mumbai", 15, 14, 120, 180, 2500),
    ("Delhi", "Mumbai", 15, 18, 180, 180, 2500),
    ("Delhi", "Bangalore", 15, 8, 100, 150, 3200),
    ("Delhi", "Bangalore", 15, 12, 80, 150, 3200),
    ("Delhi", "Chennai", 15, 9, 90, 120, 2800),
    ("Delhi", "Chennai", 15, 16, 120, 120, 2800),
    ("Mumbai", "Delhi", 15, 11, 140, 180, 2500),
    ("Mumbai", "Delhi", 15, 15, 160, 180, 2500),
    ("Mumbai", "Bangalore", 15, 7, 110, 150, 2200),
    ("Bangalore", "Delhi", 15, 13, 95, 150, 3200),
    ("Chennai", "Delhi", 15, 17, 85, 120, 2800),
    ("Delhi", "Mumbai", 20, 10, 180, 180, 2500),
    ("Delhi", "Bangalore", 20, 8, 150, 150, 3200),
    ("Mumbai", "Chennai", 20, 9, 120, 120, 2400),
];

/// The fixed flights, then about 5,000 that depart after `now`, within three weeks. Prices are whole
/// units of `currency`.
pub fn flights(now: Timestamp, currency: Currency) -> Vec<NewFlight> {
    let fixed = FIXED.iter().map(|flight| fixed_flight(flight, currency));
    fixed.chain(timetable(0..DAYS, now, currency)).collect()
}

/// The timetable's flights of the days that have come into reach since samples were last added: none
/// on the same day, one day's on the next, up to three weeks'.
///
/// Days that were in reach then are not repeated, so a sample that was moved or renumbered since stays
/// as it is.
pub fn further_flights(added_at: Timestamp, now: Timestamp, currency: Currency) -> Vec<NewFlight> {
    let passed = (day_of(now) - day_of(added_at)).num_days();
    let Ok(passed) = u64::try_from(passed) else { return Vec::new() };
    timetable(DAYS.saturating_sub(passed)..DAYS, now, currency).collect()
}

/// How many of the samples have no number.
pub const UNNUMBERED: usize = FIXED.len();

/// The numbers of the timetable's flights.
pub fn numbers() -> Vec<String> {
    services().iter().map(Service::flight_number).collect()
}

fn fixed_flight(
    &(source, destination, day, hour, available, total, price): &Fixed,
    currency: Currency,
) -> NewFlight {
    let departs_at = NaiveDate::from_ymd_opt(2025, 1, day.into())
        .and_then(|date| date.and_hms_opt(hour.into(), 0, 0))
        .expect("the table holds real instants")
        .and_utc();
    let named = |name| CITIES.iter().find(|city| city.name == name).expect("a city of the table");
    NewFlight {
        flight_number: None,
        source: source.into(),
        destination: destination.into(),
        departs_at,
        arrives_at: Some(departs_at + flying_time(named(source), named(destination))),
        available_seats: available,
        total_seats: total,
        flight_status: FlightStatus::Scheduled,
        price: Money::whole(price, currency),
        taxes: taxes(price, currency),
        fare_rules: FareName::default(),
    }
}

/// A departure that is repeated each day.
struct Service<'a> {
    number: usize,
    source: &'a City,
    destination: &'a City,
    departs_minute: usize,
}

fn day_of(instant: Timestamp) -> NaiveDate {
    instant.with_timezone(&IST).date_naive()
}

/// The flights of some days, counted from today, that depart after `now`.
fn timetable(
    days: Range<u64>,
    now: Timestamp,
    currency: Currency,
) -> impl Iterator<Item = NewFlight> {
    let services = services();
    let today = day_of(now);
    days.filter_map(move |day| today.checked_add_days(Days::new(day)))
        .flat_map(move |date| {
            services.iter().filter_map(|service| service.on(date, currency)).collect::<Vec<_>>()
        })
        .filter(move |flight| flight.departs_at > now)
}

/// Every daily departure: the busier both cities, the more of them, spread over the day.
fn services() -> Vec<Service<'static>> {
    let mut services = Vec::new();
    let pairs = CITIES
        .iter()
        .flat_map(|source| CITIES.iter().map(move |destination| (source, destination)))
        .filter(|(source, destination)| source.name != destination.name);
    for (pair, (source, destination)) in pairs.enumerate() {
        let daily = (source.weight * destination.weight).div_ceil(2);
        let gap = DEPARTURE_WINDOW / daily;
        for nth in 0..daily {
            // Pairs start at different times of their first gap, so that a city's flights do not
            // all leave at once; 37 is prime to the gaps. Timetables know five-minute steps.
            let minute = FIRST_DEPARTURE + gap * nth + (pair * 37) % gap;
            services.push(Service {
                number: 101 + services.len(),
                source,
                destination,
                departs_minute: minute - minute % 5,
            });
        }
    }
    services
}

impl Service<'_> {
    fn flight_number(&self) -> String {
        format!("AB{}", self.number)
    }

    fn on(&self, date: NaiveDate, currency: Currency) -> Option<NewFlight> {
        let minutes = TimeDelta::minutes(self.departs_minute as i64);
        let local = date.and_hms_opt(0, 0, 0)? + minutes;
        let departs_at: DateTime<FixedOffset> = local.and_local_timezone(IST).single()?;
        let total_seats = [180, 150, 120][self.number % 3];
        let price = self.price(date.weekday());
        Some(NewFlight {
            flight_number: Some(self.flight_number().into()),
            source: self.source.name.into(),
            destination: self.destination.name.into(),
            departs_at: departs_at.to_utc(),
            arrives_at: Some((departs_at + flying_time(self.source, self.destination)).to_utc()),
            available_seats: total_seats,
            total_seats,
            flight_status: FlightStatus::Scheduled,
            price: Money::whole(price, currency),
            taxes: taxes(price, currency),
            fare_rules: FareName::default(),
        })
    }

    /// 1,000 and 1.30 a km; a tenth more on Fridays and Sundays, a tenth less before seven; in
    /// steps of 50.
    fn price(&self, weekday: Weekday) -> i64 {
        let mut price = 1_000 + distance_km(self.source, self.destination) * 13 / 10;
        if matches!(weekday, Weekday::Fri | Weekday::Sun) {
            price += price / 10;
        }
        if self.departs_minute < 7 * 60 {
            price -= price / 10;
        }
        price - price % 50
    }
}

/// Half an hour of taxiing, climb and descent, and 12 km a minute; in five-minute steps.
fn flying_time(source: &City, destination: &City) -> TimeDelta {
    let minutes = 30 + distance_km(source, destination) / 12;
    TimeDelta::minutes(minutes - minutes % 5)
}

/// 12 percent of the price, in whole units.
fn taxes(price: i64, currency: Currency) -> Money {
    Money::whole(price * 12 / 100, currency)
}

/// The great circle's length.
fn distance_km(a: &City, b: &City) -> i64 {
    const EARTH_RADIUS_KM: f64 = 6_371.0;
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat.powi(2) + lat_a.cos() * lat_b.cos() * half_lon.powi(2);
    (2.0 * EARTH_RADIUS_KM * h.sqrt().asin()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Timelike;
    use std::collections::HashSet;

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn the_fixed_flights_come_first() {
        let flights = flights(at("2025-06-02T03:00:00Z"), inr());
        let first = &flights[0];
        assert_eq!((&*first.source, &*first.destination), ("Delhi", "Mumbai"));
        assert_eq!(first.departs_at, at("2025-01-15T10:00:00Z"));
        assert_eq!((first.available_seats, first.total_seats), (150, 180));
        let last = &flights[14];
        assert_eq!((&*last.destination, last.departs_at), ("Chennai", at("2025-01-20T09:00:00Z")));
        assert_eq!(last.price.to_string(), "2400.00");
        assert!(flights[..15].iter().all(|flight| flight.flight_number.is_none()));
    }

    #[test]
    fn every_flight_keeps_the_rules_and_differs_from_others_in_number_or_departure() {
        let now = at("2025-06-02T03:00:00Z");
        let flights = flights(now, inr());
        assert!((4_500..5_500).contains(&flights.len()), "{}", flights.len());
        let mut seen = HashSet::new();
        for flight in flights.into_iter().skip(15) {
            let flight = flight.checked(inr()).expect("sound");
            assert!(flight.departs_at > now);
            let hour = flight.departs_at.with_timezone(&IST).hour();
            assert!((5..22).contains(&hour), "{flight:?}");
            let minutes = (flight.arrives_at.expect("known") - flight.departs_at).num_minutes();
            assert!((30..=240).contains(&minutes), "{flight:?}");
            assert!(seen.insert((flight.flight_number, flight.departs_at)));
        }
    }

    #[test]
    fn tomorrow_has_flights_whatever_the_hour_in_utc_and_in_ist() {
        for hour in 0..24 {
            let now = at(&format!("2025-06-02T{hour:02}:59:59Z"));
            let found = flights(now, inr()).iter().any(|flight| {
                flight.departs_at.date_naive() == now.date_naive() + Days::new(1)
                    && &*flight.source == "Delhi"
                    && &*flight.destination == "Mumbai"
            });
            assert!(found, "at {now}");
        }
    }

    #[test]
    fn later_days_add_the_flights_that_only_a_fresh_start_would_have() {
        let names = |flights: Vec<NewFlight>| -> HashSet<_> {
            flights.into_iter().map(|flight| (flight.flight_number, flight.departs_at)).collect()
        };
        let first = at("2025-06-02T03:00:00Z");
        for (days, expected) in [(0, 0), (1, 1), (7, 7), (21, 21), (22, 22), (400, 22)] {
            let now = first + TimeDelta::days(days);
            let further = further_flights(first, now, inr());
            let dates: HashSet<_> = further.iter().map(|f| day_of(f.departs_at)).collect();
            assert_eq!(dates.len(), expected, "after {days} days");
            let (further, known) = (names(further), names(flights(first, inr())));
            assert!(further.is_disjoint(&known));
            let all: HashSet<_> = further.union(&known).cloned().collect();
            assert!(names(flights(now, inr())).is_subset(&all), "after {days} days");
        }
        assert!(further_flights(first, first - TimeDelta::days(30), inr()).is_empty());
    }

    #[test]
    fn every_numbered_sample_has_one_of_the_numbers() {
        let numbers: HashSet<String> = numbers().into_iter().collect();
        let flights = flights(at("2025-06-02T03:00:00Z"), inr());
        let unnumbered = flights.iter().filter(|f| f.flight_number.is_none()).count();
        assert_eq!(unnumbered, UNNUMBERED);
        let known = |number: &str| numbers.contains(number);
        assert!(flights.iter().all(|f| f.flight_number.as_deref().is_none_or(known)));
    }

    #[test]
    fn distances_match_the_map() {
        let km = distance_km(&CITIES[0], &CITIES[1]);
        assert!((1_100..1_200).contains(&km), "{km}");
    }
}
