//! A schedule of any size from a real one: every departure from New York in 2013, repeated with its
//! dates moved by whole weeks, so that weekdays, routes and times stay as they were.

use anyhow::{Context, ensure};
use chrono::{Days, NaiveDate};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

/// The real schedule, where there is one beside this folder.
const FILE: &str = "../shared/data/nyc-2013.csv.gz";

/// Days between two repetitions.
const YEAR: u64 = 52 * 7;

/// Repetitions that are left out, so that no departure has passed.
const FIRST: u64 = 18;

/// A prime, so that questions that follow each other are about different routes and days.
const STRIDE: usize = 7_919;

/// Flights of a year, as the lines of a CSV file.
pub struct Schedule {
    header: String,
    lines: Vec<String>,
    flights: usize,
}

impl Schedule {
    /// A schedule of so many flights.
    pub fn of(flights: usize) -> anyhow::Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        let text = if file.exists() { unpacked(&file)? } else { generated() };
        let mut lines = text.lines().map(str::to_owned);
        let header = lines.next().context("no header")?;
        ensure!(
            header.starts_with("flight_number,source,destination,timestamp,arrival_timestamp,")
        );
        Ok(Self { header, lines: lines.take(flights).collect(), flights })
    }

    /// Writes it as `import` reads it.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(file)?);
        writeln!(out, "{}", self.header)?;
        let mut left = self.flights;
        for repetition in FIRST.. {
            let mut dates = HashMap::new();
            for line in self.lines.iter().take(left) {
                let mut cells = line.splitn(6, ',');
                let mut cell = || cells.next().context("a line is short");
                let (number, source, destination) = (cell()?, cell()?, cell()?);
                let (departs_at, arrives_at, rest) = (cell()?, cell()?, cell()?);
                write!(out, "{number},{source},{destination},")?;
                for instant in [departs_at, arrives_at] {
                    if let Some((date, time)) = instant.split_once('T') {
                        if !dates.contains_key(date) {
                            dates.insert(date, moved(date, repetition)?);
                        }
                        write!(out, "{}T{time}", dates[date])?;
                    }
                    write!(out, ",")?;
                }
                writeln!(out, "{rest}")?;
            }
            left = left.saturating_sub(self.lines.len());
            if left == 0 {
                break;
            }
        }
        Ok(out.flush()?)
    }

    /// The lines of its first year.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Every route and day of it that has flights, as searches ask for them.
    pub fn questions(&self) -> anyhow::Result<Questions> {
        let mut days = BTreeSet::new();
        for line in &self.lines {
            let cells: Vec<&str> = line.splitn(5, ',').collect();
            let [_, source, destination, departs_at, _] = cells[..] else {
                anyhow::bail!("a line is short");
            };
            let date = departs_at.get(..10).context("no date")?;
            days.insert((source.to_owned(), destination.to_owned(), date.to_owned()));
        }
        let repetitions = (self.flights / self.lines.len()).max(1);
        Ok(Questions { days: days.into_iter().collect(), repetitions })
    }
}

/// Searches, each about a route and day of its own.
pub struct Questions {
    days: Vec<(String, String, String)>,
    repetitions: usize,
}

impl Questions {
    /// How many there are; beyond that they repeat.
    pub fn count(&self) -> usize {
        self.days.len() * self.repetitions
    }

    /// The path and query of that search.
    pub fn path(&self, number: usize) -> anyhow::Result<String> {
        let at = number * STRIDE % self.count();
        let (source, destination, date) = &self.days[at % self.days.len()];
        let date = moved(date, FIRST + (at / self.days.len()) as u64)?;
        Ok(format!("/api/v1/flights/search?source={source}&destination={destination}&date={date}"))
    }
}

/// The date, so many repetitions later.
fn moved(date: &str, repetition: u64) -> anyhow::Result<String> {
    let date: NaiveDate = date.parse()?;
    let date = date.checked_add_days(Days::new(repetition * YEAR)).context("too late a date")?;
    Ok(date.to_string())
}

fn unpacked(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?).read_to_string(&mut text)?;
    Ok(text)
}

/// As many flights a day, between as many places.
fn generated() -> String {
    let mut text = String::from(
        "flight_number,source,destination,timestamp,arrival_timestamp,total_seats,price\n",
    );
    let first = NaiveDate::from_ymd_opt(2013, 1, 1).expect("it is a date");
    for day in first.iter_days().take(365) {
        for flight in 0..922 {
            let (from, to, seats) = (flight % 3, flight % 75, 100 + flight % 9 * 12);
            let (hour, minute) = (5 + flight % 15, flight % 60);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "N{flight},N{from},D{to},{day}T{hour:02}:{minute:02}:00Z,\
                 {day}T{:02}:{minute:02}:00Z,{seats},199.00",
                hour + 3
            );
        }
    }
    text
}
