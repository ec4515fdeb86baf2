//! What each commit did with a flight and its line, in the order of the flight's versions. Triggers write it down in the
//! same transaction.

use airline_booking::domain::{SeatCount, Timestamp};
use chrono::NaiveDateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};

/// To run before there is a flight.
pub const RECORD: &str = "
    CREATE SCHEMA history;
    CREATE TABLE history.changes (number BIGSERIAL, tx BIGINT, kind TEXT, was JSONB, became JSONB);
    CREATE FUNCTION history.note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO history.changes (tx, kind, was, became)
        VALUES (txid_current(), TG_TABLE_NAME,
                CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) END, to_jsonb(NEW));
        RETURN NULL;
    END $$;
    CREATE TABLE history.served (flight_id BIGINT PRIMARY KEY, times BIGINT);
    CREATE FUNCTION history.count() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO history.served VALUES (NEW.id, 1)
            ON CONFLICT (flight_id) DO UPDATE SET times = history.served.times + 1;
        RETURN NULL;
    END $$;
    CREATE TRIGGER served AFTER INSERT OR UPDATE ON flights
        FOR EACH ROW WHEN (NOT NEW.serve_due) EXECUTE FUNCTION history.count();
    CREATE TRIGGER history AFTER INSERT OR UPDATE ON flights
        FOR EACH ROW EXECUTE FUNCTION history.note();
    CREATE TRIGGER history AFTER INSERT OR UPDATE ON bookings
        FOR EACH ROW EXECUTE FUNCTION history.note();
    CREATE TRIGGER history AFTER INSERT OR UPDATE ON waitlist
        FOR EACH ROW EXECUTE FUNCTION history.note()";

#[derive(Debug, Clone, Deserialize)]
pub struct FlightSeen {
    pub id: i64,
    pub version: i64,
    available_seats: SeatCount,
    held_seats: SeatCount,
    pub waiting: i32,
    pub serve_due: bool,
    gathers_until: Option<NaiveDateTime>,
    passed: i32,
    timestamp: NaiveDateTime,
    updated_at: NaiveDateTime,
}

impl FlightSeen {
    pub fn free(&self) -> SeatCount {
        self.available_seats - self.held_seats
    }

    pub fn gathers_until(&self) -> Option<Timestamp> {
        self.gathers_until.map(|until| until.and_utc())
    }

    pub fn departs_at(&self) -> Timestamp {
        self.timestamp.and_utc()
    }

    pub fn at(&self) -> Timestamp {
        self.updated_at.and_utc()
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct EntrySeen {
    pub id: i64,
    pub flight_id: i64,
    pub place: i64,
    pub seats: SeatCount,
    pub status: String,
    pub overtaken: i32,
    passed_before: Option<i32>,
}

impl EntrySeen {
    /// How often it was overtaken, by its flight's row.
    pub fn overtaken_in_all(&self, flight: &FlightSeen) -> i32 {
        self.overtaken + self.passed_before.map_or(0, |before| flight.passed - before)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct BookingSeen {
    id: i64,
    flight_id: i64,
    status: String,
    seats_booked: SeatCount,
}

impl BookingSeen {
    /// The seats that it takes of a flight.
    fn seats_of(&self, flight: i64) -> SeatCount {
        let takes = self.flight_id == flight && matches!(&*self.status, "pending" | "completed");
        if takes { self.seats_booked } else { 0 }
    }
}

/// A row before and after a transaction.
#[derive(Debug)]
struct Row<T> {
    was: Option<T>,
    became: T,
}

/// What one commit did with a flight, by several commands at times.
#[derive(Debug)]
pub struct Step {
    /// `None`: it was created.
    pub was: Option<FlightSeen>,
    pub became: FlightSeen,
    /// Parties that joined, in the order of the line.
    pub joined: Vec<EntrySeen>,
    /// Entries that changed, as they are then.
    pub entries: Vec<EntrySeen>,
    /// Places of those that got seats, ascending.
    pub promoted: Vec<i64>,
    /// Places of those that left without any.
    pub left: Vec<i64>,
    /// Seats of each new hold.
    pub held: Vec<SeatCount>,
    /// Seats that became free, by each booking; the last by the flight itself.
    pub freed: Vec<SeatCount>,
}

/// The rows that a transaction wrote.
#[derive(Default)]
struct Commit {
    flights: BTreeMap<i64, Row<FlightSeen>>,
    entries: BTreeMap<i64, Row<EntrySeen>>,
    bookings: BTreeMap<i64, Row<BookingSeen>>,
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn add<T: DeserializeOwned>(
    rows: &mut BTreeMap<i64, Row<T>>,
    id: impl Fn(&T) -> i64,
    was: Option<&str>,
    became: &str,
) {
    let became = read(became);
    match rows.entry(id(&became)) {
        std::collections::btree_map::Entry::Occupied(row) => row.into_mut().became = became,
        std::collections::btree_map::Entry::Vacant(row) => {
            row.insert(Row { was: was.map(read), became });
        }
    }
}

/// All steps of each flight.
pub async fn steps(database: &mut PgConnection) -> BTreeMap<i64, Vec<Step>> {
    let all = "SELECT tx, kind, was::text, became::text FROM history.changes ORDER BY number";
    let rows: Vec<(i64, String, Option<String>, String)> =
        sqlx::query_as(all).fetch_all(database).await.expect("a history");
    let (mut commits, mut order) = (HashMap::<i64, Commit>::new(), Vec::new());
    for (tx, kind, was, became) in &rows {
        let commit = commits.entry(*tx).or_insert_with(|| {
            order.push(*tx);
            Commit::default()
        });
        let was = was.as_deref();
        match &**kind {
            "flights" => add(&mut commit.flights, |flight| flight.id, was, became),
            "waitlist" => add(&mut commit.entries, |entry| entry.id, was, became),
            _ => add(&mut commit.bookings, |booking| booking.id, was, became),
        }
    }
    let mut steps: BTreeMap<i64, Vec<Step>> = BTreeMap::new();
    for commit in order.iter().map(|tx| &commits[tx]) {
        for (id, flight) in &commit.flights {
            steps.entry(*id).or_default().push(commit.step(flight));
        }
    }
    for steps in steps.values_mut() {
        steps.sort_by_key(|step| step.became.version);
        for pair in steps.windows(2) {
            let was = pair[1].was.as_ref().map(|was| was.version);
            assert_eq!(was, Some(pair[0].became.version), "a version is missing: {pair:?}");
        }
    }
    steps
}

impl Commit {
    fn step(&self, flight: &Row<FlightSeen>) -> Step {
        let id = flight.became.id;
        let entries: Vec<_> =
            self.entries.values().filter(|row| row.became.flight_id == id).collect();
        let is_new = |row: &&&Row<EntrySeen>| row.was.is_none();
        let mut joined: Vec<_> =
            entries.iter().filter(is_new).map(|row| row.became.clone()).collect();
        joined.sort_by_key(|entry| entry.place);
        let waited =
            entries.iter().filter(|r| r.was.as_ref().is_none_or(|w| w.status == "waiting"));
        let places_of = |status: &[&str]| {
            let now = waited.clone().map(|row| &row.became);
            let mut places: Vec<i64> =
                now.filter(|e| status.contains(&&*e.status)).map(|e| e.place).collect();
            places.sort_unstable();
            places
        };
        let (promoted, left) = (places_of(&["offered"]), places_of(&["left", "lapsed"]));
        let offered = |id: i64| {
            entries.iter().find(|row| row.became.id == id && promoted.contains(&row.became.place))
        };
        let (mut held, mut freed, mut served) = (Vec::new(), Vec::new(), 0);
        for (booking, row) in &self.bookings {
            let was = row.was.as_ref().map_or(0, |was| was.seats_of(id));
            let became = row.became.seats_of(id);
            if row.was.is_none() && offered(*booking).is_some() {
                served += became;
            } else if became > was {
                held.push(became - was);
            } else if became < was {
                freed.push(was - became);
            }
        }
        let before = flight.was.as_ref().map_or(flight.became.free(), FlightSeen::free);
        let taken = held.iter().sum::<SeatCount>() + served - freed.iter().sum::<SeatCount>();
        let rest = flight.became.free() - before + taken;
        freed.extend(Some(rest).filter(|rest| *rest != 0));
        let entries = entries.iter().map(|row| row.became.clone()).collect();
        let (was, became) = (flight.was.clone(), flight.became.clone());
        Step { was, became, joined, entries, promoted, left, held, freed }
    }
}
