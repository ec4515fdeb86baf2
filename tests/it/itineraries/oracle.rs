//! 500 random questions, each answered by trying every sequence of flights.

use super::{import, legs, search};
use crate::support::TestApp;
use airline_booking::domain::{FlightStatus, Money, NewFlight, Timestamp};
use chrono::{Days, NaiveDate, TimeDelta};
use serde_json::json;
use std::collections::HashSet;

/// Worlds of flights on days far apart, in one database.
const WORLDS: usize = 25;
const QUESTIONS: usize = 20;
const FLIGHTS: usize = 300;

/// Each city by its spellings.
const CITIES: [&[&str]; 6] = [
    &["Delhi", "DELHI", " delhi "],
    &["São Paulo", "SAO PAULO", "sao  paulo"],
    &["Kochi"],
    &["Panjim", "panjim"],
    &["Pune", "PUNE"],
    &["O’Hare", "o'hare"],
];

const MIN_CONNECTION: TimeDelta = TimeDelta::minutes(45);
const MAX_CONNECTION: TimeDelta = TimeDelta::hours(6);

struct Known {
    id: i64,
    source: usize,
    destination: usize,
    new: NewFlight,
}

/// An itinerary as this file understands it.
struct Trip<'a>(Vec<&'a Known>);

impl Trip<'_> {
    fn departs(&self) -> Timestamp {
        self.0[0].new.departs_at
    }

    fn arrives(&self) -> Option<Timestamp> {
        self.0[self.0.len() - 1].new.arrives_at
    }

    fn price(&self) -> i64 {
        self.0.iter().map(|flight| flight.new.price.stored()).sum()
    }

    fn minutes(&self) -> Option<i64> {
        self.arrives().map(|arrival| (arrival - self.departs()).num_minutes())
    }

    fn seats(&self) -> i32 {
        self.0.iter().map(|flight| flight.new.available_seats).min().expect("a flight")
    }

    fn ids(&self) -> Vec<i64> {
        self.0.iter().map(|flight| flight.id).collect()
    }

    /// Whether it is better in something and worse in nothing. Unknown arrivals compare with none.
    fn beats(&self, other: &Self) -> bool {
        let (Some(arrival), Some(other_arrival)) = (self.arrives(), other.arrives()) else {
            return false;
        };
        let no_worse = self.departs() >= other.departs()
            && arrival <= other_arrival
            && self.price() <= other.price()
            && self.0.len() <= other.0.len();
        let is_equal = self.departs() == other.departs()
            && arrival == other_arrival
            && self.price() == other.price()
            && self.0.len() == other.0.len();
        no_worse && !is_equal
    }
}

struct Question {
    source: usize,
    destination: usize,
    date: NaiveDate,
    stops: usize,
    seats: i32,
    sort: &'static str,
    limit: usize,
}

impl Question {
    fn random(random: &mut fastrand::Rng, first: NaiveDate) -> Self {
        let source = random.usize(..CITIES.len());
        Self {
            source,
            destination: (source + random.usize(1..CITIES.len())) % CITIES.len(),
            date: first + Days::new(random.u64(..2)),
            stops: random.usize(..3),
            seats: random.i32(1..=3),
            sort: ["departure", "duration", "price"][random.usize(..3)],
            limit: [50, 50, 200, 3, 1][random.usize(..5)],
        }
    }

    fn parameters(&self, random: &mut fastrand::Rng) -> String {
        let source = spelt(random, self.source);
        let destination = spelt(random, self.destination);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("source", source).append_pair("destination", destination);
        query.append_pair("date", &self.date.to_string());
        query.append_pair("max_stops", &self.stops.to_string());
        query.append_pair("seats", &self.seats.to_string());
        query.append_pair("sort", self.sort).append_pair("limit", &self.limit.to_string());
        query.finish()
    }

    fn answer<'a>(&self, flights: &'a [Known]) -> Vec<Trip<'a>> {
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
        let end = midnight(self.date + Days::new(3));
        let is_usable = |flight: &&Known| {
            let new = &flight.new;
            let status = new.flight_status;
            let is_on_sale = status != FlightStatus::Cancelled && status != FlightStatus::Departed;
            is_on_sale && new.available_seats >= self.seats && new.departs_at < end
        };
        let usable: Vec<&Known> = flights.iter().filter(is_usable).collect();
        let day = midnight(self.date)..midnight(self.date + Days::new(1));
        let mut trips = Vec::new();
        for flight in usable.iter().filter(|flight| flight.source == self.source) {
            if day.contains(&flight.new.departs_at) {
                self.extend(vec![flight], &usable, &mut trips);
            }
        }
        let is_unbeaten = |trip: &&Trip<'_>| !trips.iter().any(|other| other.beats(trip));
        let unbeaten: HashSet<Vec<i64>> = trips.iter().filter(is_unbeaten).map(Trip::ids).collect();
        trips.retain(|trip| unbeaten.contains(&trip.ids()));
        trips.sort_by_key(|trip| self.order(trip));
        trips.truncate(self.limit);
        trips
    }

    fn extend<'a>(&self, so_far: Vec<&'a Known>, all: &[&'a Known], trips: &mut Vec<Trip<'a>>) {
        let last = so_far[so_far.len() - 1];
        if last.destination == self.destination {
            if last.new.arrives_at.is_some() || so_far.len() == 1 {
                trips.push(Trip(so_far));
            }
            return;
        }
        let Some(arrival) = last.new.arrives_at.filter(|_| so_far.len() <= self.stops) else {
            return;
        };
        for next in all {
            let wait = next.new.departs_at - arrival;
            let was_there = so_far.iter().any(|flight| flight.source == next.destination);
            if next.source == last.destination
                && !was_there
                && (MIN_CONNECTION..=MAX_CONNECTION).contains(&wait)
            {
                let mut further = so_far.clone();
                further.push(*next);
                self.extend(further, all, trips);
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "a key of a sort, used once")]
    fn order(
        &self,
        trip: &Trip<'_>,
    ) -> ((bool, i64), Timestamp, (bool, Option<Timestamp>), i64, usize, Vec<(Timestamp, i64)>)
    {
        let asked = match self.sort {
            "departure" => (false, 0),
            "price" => (false, trip.price()),
            _ => (trip.minutes().is_none(), trip.minutes().unwrap_or_default()),
        };
        let arrival = (trip.arrives().is_none(), trip.arrives());
        let flights = trip.0.iter().map(|flight| (flight.new.departs_at, flight.id)).collect();
        (asked, trip.departs(), arrival, trip.price(), trip.0.len(), flights)
    }
}

fn spelt(random: &mut fastrand::Rng, city: usize) -> &'static str {
    let spellings = CITIES[city];
    spellings[random.usize(..spellings.len())]
}

/// A flight at a quarter of an hour within three days. Few prices and times, so that many are equal.
fn random_flight(random: &mut fastrand::Rng, first: NaiveDate, id: i64) -> Known {
    let source = random.usize(..CITIES.len());
    let destination = (source + random.usize(1..CITIES.len())) % CITIES.len();
    let midnight = first.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    // A few depart after the third day, which no itinerary of the first reaches.
    let hours = if random.u8(..10) == 0 { 90 } else { 48 };
    let departs_at = midnight + TimeDelta::minutes(15 * random.i64(0..4 * hours));
    // The cities lie on a ring: flights across it are dear, so that connections beat them.
    let is_across = (source + CITIES.len() / 2) % CITIES.len() == destination;
    let minutes = 15 * random.i64(2..24);
    let price = [100_005, 150_000, 150_000, 250_050, 99_999][random.usize(..5)];
    let total_seats = random.i32(1..=4);
    let statuses = [
        FlightStatus::Scheduled,
        FlightStatus::Scheduled,
        FlightStatus::Scheduled,
        FlightStatus::OnTime,
        FlightStatus::Delayed,
        FlightStatus::Departed,
        FlightStatus::Cancelled,
    ];
    let new = NewFlight {
        flight_number: Some(format!("R{id}").into()),
        source: spelt(random, source).trim().into(),
        destination: spelt(random, destination).trim().into(),
        departs_at,
        arrives_at: random.u8(..12).gt(&0).then(|| departs_at + TimeDelta::minutes(minutes)),
        available_seats: total_seats - random.i32(0..=total_seats).min(random.i32(0..=1)),
        total_seats,
        flight_status: statuses[random.usize(..statuses.len())],
        price: Money::from_minor(if is_across { 4 * price } else { price }),
        taxes: Money::from_minor(0),
        fare_rules: airline_booking::domain::FareName::default(),
    };
    Known { id, source, destination, new }
}

#[tokio::test]
async fn five_hundred_random_questions_are_answered_as_by_brute_force() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let app = TestApp::start().await;
    let day = NaiveDate::from_ymd_opt(2025, 2, 1).expect("a date");
    let firsts: Vec<_> = (0..WORLDS).map(|world| day + Days::new(world as u64 * 7)).collect();
    let mut worlds = Vec::new();
    for (world, first) in firsts.iter().enumerate() {
        let ids = (0..FLIGHTS).map(|flight| (world * FLIGHTS + flight + 1) as i64);
        worlds.push(ids.map(|id| random_flight(&mut random, *first, id)).collect::<Vec<_>>());
    }
    let all: Vec<NewFlight> = worlds.iter().flatten().map(|flight| flight.new.clone()).collect();
    import(&app, &all).await;
    let mut connections = 0;
    for (first, flights) in firsts.into_iter().zip(&worlds) {
        for _ in 0..QUESTIONS {
            let question = Question::random(&mut random, first);
            let parameters = question.parameters(&mut random);
            let answer = search(&app, &parameters).await;
            let itineraries = &answer.json["itineraries"];
            let expected = question.answer(flights);
            let ids: Vec<_> = expected.iter().map(Trip::ids).collect();
            assert_eq!(legs(itineraries), ids, "{parameters}; TEST_SEED={seed}");
            for (trip, shown) in expected.iter().zip(itineraries.as_array().expect("a list")) {
                assert_eq!(shown["stops"], trip.0.len() - 1);
                assert_eq!(shown["duration_minutes"], json!(trip.minutes()));
                assert_eq!(shown["price"], json!(trip.price() as f64 / 100.0));
                assert_eq!(shown["seats"], trip.seats());
                connections += usize::from(trip.0.len() > 1);
            }
        }
    }
    assert!(connections > 250, "only {connections} connections; TEST_SEED={seed}");
    app.finish().await;
}
