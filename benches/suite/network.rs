//! A month of days of 2,200 flights: real departures from New York, each with a flight back 45 to 90
//! minutes after its arrival, so that New York connects.

use crate::schedule::Schedule;
use anyhow::{Context, ensure};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Departures from New York on each day.
const DEPARTURES: usize = 1_100;

/// The days of the month.
const DAYS: u32 = 31;

/// The day of the questions. No other flight of a deployment departs in its month.
pub const DAY: &str = "2030-07-08";

/// The month of the questions.
pub const MONTH: &str = "2030-07";

/// A prime, so that questions that follow each other are about different cities.
const STRIDE: usize = 104_729;

/// The departures of a day, at their times of day.
pub struct Network {
    departures: Vec<Departure>,
    cities: Vec<String>,
}

struct Departure {
    number: String,
    source: String,
    destination: String,
    /// After midnight.
    departs: TimeDelta,
    takes: TimeDelta,
    seats_and_price: String,
}

impl Network {
    /// The first departures of the real schedule, all moved to one day.
    pub fn of_real_departures() -> anyhow::Result<Self> {
        let schedule = Schedule::of(2 * DEPARTURES)?;
        let departures = schedule.lines().filter_map(Departure::read).take(DEPARTURES);
        let departures: Vec<_> = departures.collect();
        ensure!(departures.len() == DEPARTURES, "the schedule has too few arrivals");
        let cities: BTreeSet<_> = departures
            .iter()
            .flat_map(|flight| [flight.source.clone(), flight.destination.clone()])
            .collect();
        Ok(Self { departures, cities: cities.into_iter().collect() })
    }

    /// Writes the month as `import` reads it.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(file)?);
        writeln!(
            out,
            "flight_number,source,destination,timestamp,arrival_timestamp,total_seats,price"
        )?;
        for day in 1..=DAYS {
            let date = NaiveDate::from_ymd_opt(2030, 7, day).context("no such day")?;
            let midnight = date.and_hms_opt(0, 0, 0).context("no midnight")?.and_utc();
            for (nth, flight) in self.departures.iter().enumerate() {
                let Departure { number, source, destination, takes, seats_and_price, .. } = flight;
                let departs = midnight + flight.departs;
                let arrives = departs + *takes;
                let returns = arrives + TimeDelta::minutes(45 + nth as i64 % 46);
                let back = returns + *takes;
                let shown = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ");
                writeln!(
                    out,
                    "{number}X{nth},{source},{destination},{},{},{seats_and_price}\n\
                     {number}R{nth},{destination},{source},{},{},{seats_and_price}",
                    shown(departs),
                    shown(arrives),
                    shown(returns),
                    shown(back)
                )?;
            }
        }
        Ok(out.flush()?)
    }

    /// A search for itineraries with two stops, each about other cities.
    pub fn itineraries(&self, number: usize) -> String {
        let (source, destination) = self.cities_of(number);
        format!(
            "/api/v1/itineraries/search?source={source}&destination={destination}&date={DAY}&max_stops=2"
        )
    }

    /// A calendar of a direct route.
    pub fn calendar(&self, number: usize) -> String {
        let Departure { source, destination, .. } =
            &self.departures[number * STRIDE % self.departures.len()];
        format!("/api/v1/flights/calendar?source={source}&destination={destination}&month={MONTH}")
    }

    fn cities_of(&self, number: usize) -> (&str, &str) {
        let count = self.cities.len();
        let at = number * STRIDE % (count * (count - 1));
        let (source, after) = (at / (count - 1), at % (count - 1) + 1);
        (&self.cities[source], &self.cities[(source + after) % count])
    }
}

impl Departure {
    /// `None` for a line without an arrival.
    fn read(line: &str) -> Option<Self> {
        let mut cells = line.splitn(6, ',').map(str::to_owned);
        let mut cell = || cells.next();
        let (number, source, destination) = (cell()?, cell()?, cell()?);
        let instant = |text: String| text.parse::<DateTime<Utc>>().ok();
        let (departs_at, arrives_at) = (instant(cell()?)?, instant(cell()?)?);
        Some(Self {
            number,
            source,
            destination,
            departs: departs_at.time() - chrono::NaiveTime::MIN,
            takes: arrives_at - departs_at,
            seats_and_price: cell()?,
        })
    }
}
