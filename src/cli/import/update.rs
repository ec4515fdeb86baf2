//! `import --update`: changes stored flights to the values of their lines, by the rules of `PUT /flights`.
//!
//! A change is decided on the flight as it was read. If the flight has changed since, it is read and decided
//! again. What a line asks for does not depend on the seats sold meanwhile, so a file can be imported again,
//! for example after a crash.

use super::matching::{Match, Stored};
use super::seen::Seen;
use super::table::Line;
use crate::app::Beside;
use crate::domain::{Currency, FieldChange, Flight, FlightId, FlightPatch};
use crate::engine::Error;
use crate::rules::{ExpectedVersion, PutFlight, Refusal, Wanted};
use crate::store::StoreError;
use std::collections::HashSet;

/// Maximum refused lines that are printed. The others are counted.
const SHOWN_MAX: usize = 1_000;

/// Maximum attempts for a line whose flight changes between reading and writing.
const ROUNDS_MAX: usize = 20;

/// The outcomes of the lines so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) inserted: usize,
    pub(super) updated: usize,
    pub(super) unchanged: usize,
    pub(super) refused: usize,
    /// Refused lines, up to [`SHOWN_MAX`]: number and reason.
    pub(super) shown: Vec<String>,
}

impl Tally {
    fn refuse(&mut self, line: &Line, reason: impl std::fmt::Display) {
        self.refused += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("line {}: {reason}", line.number));
        }
    }
}

/// An import that changes stored flights.
pub(super) struct Update<'a> {
    beside: &'a Beside,
    currency: Currency,
    /// The flights that lines of the file identify.
    seen: &'a Seen,
    /// Flights that a line has changed: no near line matches them any more.
    taken: HashSet<FlightId>,
    pub(super) tally: Tally,
}

/// A line, and the flight that it changes, as last read.
struct Change {
    line: Line,
    flight: Flight,
}

impl<'a> Update<'a> {
    /// `seen`: the fingerprints of the whole file.
    pub(super) fn new(beside: &'a Beside, currency: Currency, seen: &'a Seen) -> Self {
        Self { beside, currency, seen, taken: HashSet::new(), tally: Tally::default() }
    }

    /// Imports some lines of the file: changes stored flights, and inserts new ones.
    pub(super) async fn take(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let store = &*self.beside.store;
        let stored = Stored::read(store, &lines, self.beside.flights.zone).await?;
        let mut new = Vec::new();
        let mut changes = Vec::new();
        for line in lines {
            if self.seen.is_repeat(&line) {
                self.tally.unchanged += 1;
                continue;
            }
            match stored.matching(&line, self.seen, &self.taken) {
                Match::New => new.push(line.flight),
                Match::Unknown(id) => self.tally.refuse(&line, Refusal::FlightNotFound(id)),
                Match::Flight(flight) => {
                    self.taken.insert(flight.id);
                    changes.push(Change { line, flight });
                }
                Match::Ambiguous(flights)
                    if flights.iter().all(|f| self.is_up_to_date(&line, f)) =>
                {
                    self.tally.unchanged += 1;
                }
                Match::Ambiguous(flights) => {
                    let ids: Vec<_> = flights.iter().map(|f| f.id.to_string()).collect();
                    let ids = ids.join(", ");
                    let reason = format!("flights {ids} match; name one in a column id");
                    self.tally.refuse(&line, reason);
                }
            }
        }
        self.change(changes).await?;
        if !new.is_empty() {
            let now = self.beside.clock.now();
            let inserted = store.import_flights(&new, self.currency, now).await?;
            self.tally.inserted += inserted;
            self.tally.unchanged += new.len() - inserted;
        }
        Ok(())
    }

    fn is_up_to_date(&self, line: &Line, flight: &Flight) -> bool {
        let patch = patch(line, flight, self.currency);
        patch.is_ok_and(|patch| patch.apply(flight).is_ok_and(|after| after == *flight))
    }

    /// Makes the changes. If a flight has changed meanwhile, its change is decided again.
    async fn change(&mut self, mut changes: Vec<Change>) -> Result<(), Error> {
        for _ in 0..ROUNDS_MAX {
            changes = self.change_once(changes).await?;
            if changes.is_empty() {
                return Ok(());
            }
            let flights = changes.iter().map(|change| change.flight.id).collect();
            let wanted = Wanted { flights, ..Wanted::default() };
            let mut now = self.beside.store.load(&wanted).await?.flights;
            for change in &mut changes {
                if let Some(flight) = now.remove(&change.flight.id) {
                    change.flight = flight;
                }
            }
        }
        for change in changes {
            let reason =
                format!("flight {} keeps changing; import the file again", change.flight.id);
            self.tally.refuse(&change.line, reason);
        }
        Ok(())
    }

    /// Returns the changes whose flights are no longer as they were read.
    async fn change_once(&mut self, changes: Vec<Change>) -> Result<Vec<Change>, Error> {
        let mut puts = Vec::new();
        let mut asked = Vec::new();
        for change in changes {
            match put(&change.line, &change.flight, self.currency) {
                Ok(None) => self.tally.unchanged += 1,
                Ok(Some(put)) => {
                    puts.push(put);
                    asked.push(change);
                }
                Err(refusal) => self.tally.refuse(&change.line, refusal),
            }
        }
        let outcomes = self.beside.flights.put_all(puts).await?;
        let mut again = Vec::new();
        for (change, outcome) in asked.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => self.tally.updated += 1,
                Err(Error::Refused(Refusal::VersionConflict { .. }))
                    if change.line.version.is_none() =>
                {
                    again.push(change);
                }
                Err(Error::Overloaded | Error::Store(StoreError::Locked(_))) => again.push(change),
                Err(Error::Refused(refusal)) => self.tally.refuse(&change.line, refusal),
                Err(error) => return Err(error),
            }
        }
        Ok(again)
    }
}

/// The change that a line asks for; `None` if the flight has its values already.
fn put(line: &Line, flight: &Flight, currency: Currency) -> Result<Option<PutFlight>, Refusal> {
    let patch = patch(line, flight, currency)?;
    let after = patch.apply(flight).map_err(Refusal::Invalid)?;
    if after == *flight {
        return Ok(None);
    }
    // The version that the line names or, if it changes seats, the one just read.
    let version = line.version.or_else(|| patch.moves_seats().then_some(flight.version));
    let expected = version.map(ExpectedVersion::Body);
    Ok(Some(PutFlight { flight_id: flight.id, patch, expected }))
}

/// A line as the body of a `PUT`. Seats are included only if they change, because a change of seats needs a
/// known version.
///
/// `available_seats` are the seats to sell here, including sold ones, as when the flight was created. So the
/// same line asks for the same seats, however many were sold since.
fn patch(line: &Line, flight: &Flight, currency: Currency) -> Result<FlightPatch, Refusal> {
    let new = &line.flight;
    let mut patch = FlightPatch {
        departs_at: Some(new.departs_at),
        arrives_at: new.arrives_at.map_or(FieldChange::Keep, FieldChange::Set),
        total_seats: (new.total_seats != flight.total_seats).then_some(new.total_seats),
        flight_status: line.says_status.then_some(new.flight_status),
        price: Some(new.price),
        taxes: line.says_taxes.then_some(new.taxes),
        fare_rules: line.fare_rules.clone(),
        currency: Some(currency.as_str().into()),
        ..FlightPatch::default()
    };
    if line.id.is_some() {
        // Without an id the flight was found by its number and route, so these do not change.
        patch.flight_number = new.flight_number.clone().map_or(FieldChange::Keep, FieldChange::Set);
        patch.source = Some(new.source.clone());
        patch.destination = Some(new.destination.clone());
    }
    if line.says_available {
        let sold = flight.sold_seats();
        let available = new.available_seats - sold;
        if available < flight.held_seats {
            let held = flight.held_seats;
            return Err(Refusal::SeatsInUse { flight: flight.id, sold, held });
        }
        let blocked = new.total_seats - new.available_seats;
        if blocked != flight.blocked_seats || patch.total_seats.is_some() {
            patch.available_seats = Some(available);
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FareName, FlightStatus, Money, NewFlight, Timestamp};

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn line(available: i32, total: i32) -> Line {
        let flight = NewFlight {
            flight_number: Some("AI101".into()),
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: at("2030-01-20T10:00:00Z"),
            arrives_at: None,
            available_seats: available,
            total_seats: total,
            flight_status: FlightStatus::Scheduled,
            price: "2500".parse().expect("a price"),
            taxes: Money::default(),
            fare_rules: FareName::default(),
        };
        let flight = flight.checked(inr()).expect("sound");
        Line {
            number: 2,
            id: None,
            version: None,
            flight,
            says_available: true,
            says_status: false,
            says_taxes: false,
            fare_rules: None,
        }
    }

    /// A flight of 180 seats, 150 of them to sell here, with seats sold and held.
    fn stored(sold: i32, held: i32) -> Flight {
        let new = line(150, 180).flight;
        let flight = new.into_flight(FlightId(7), inr(), at("2025-01-01T00:00:00Z"));
        Flight { available_seats: 150 - sold, held_seats: held, ..flight }
    }

    fn after(line: &Line, flight: &Flight) -> Result<Option<Flight>, Refusal> {
        let put = put(line, flight, inr())?;
        Ok(put.map(|put| put.patch.apply(flight).expect("a sound change")))
    }

    #[test]
    fn an_imported_line_changes_nothing_however_many_seats_were_sold_since() {
        for (sold, held) in [(0, 0), (40, 3), (150, 0)] {
            assert_eq!(after(&line(150, 180), &stored(sold, held)), Ok(None), "{sold} sold");
        }
    }

    #[test]
    fn seats_to_sell_include_sold_ones_and_never_fall_below_them() {
        let flight = stored(40, 3);
        let more = after(&line(170, 180), &flight).expect("allowed").expect("a change");
        assert_eq!((more.available_seats, more.blocked_seats, more.sold_seats()), (130, 10, 40));
        let least = after(&line(43, 43), &flight).expect("allowed").expect("a change");
        assert_eq!((least.available_seats, least.total_seats, least.free_seats()), (3, 43, 0));
        let refused = Refusal::SeatsInUse { flight: flight.id, sold: 40, held: 3 };
        assert_eq!(after(&line(42, 180), &flight), Err(refused));
    }

    #[test]
    fn a_change_of_total_seats_keeps_seats_sold_elsewhere() {
        let larger = Line { says_available: false, ..line(200, 200) };
        let flight = after(&larger, &stored(40, 3)).expect("allowed").expect("a change");
        assert_eq!(
            (flight.total_seats, flight.blocked_seats, flight.available_seats),
            (200, 30, 130)
        );
    }

    #[test]
    fn a_change_of_seats_needs_the_version_that_was_read_or_named() {
        let flight = Flight { version: 5, ..stored(40, 3) };
        let expected =
            |line: &Line| put(line, &flight, inr()).expect("allowed").expect("one").expected;
        assert_eq!(expected(&line(170, 180)), Some(ExpectedVersion::Body(5)));
        assert_eq!(
            expected(&Line { version: Some(4), ..line(170, 180) }),
            Some(ExpectedVersion::Body(4))
        );
        let mut dearer = line(150, 180);
        dearer.flight.price = "2600".parse().expect("a price");
        assert_eq!(expected(&dearer), None);
    }

    #[test]
    fn a_price_in_another_currency_than_the_flights_is_refused() {
        let flight = Flight { currency: "USD".parse().expect("a currency"), ..stored(0, 0) };
        assert!(matches!(after(&line(150, 180), &flight), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn an_empty_field_changes_nothing() {
        let arrives_at = Some(at("2030-01-20T12:00:00Z"));
        let flight = Flight { arrives_at, flight_status: FlightStatus::Delayed, ..stored(0, 0) };
        assert_eq!(after(&line(150, 180), &flight), Ok(None));
        let on_time = Line { says_status: true, ..line(150, 180) };
        let flight = after(&on_time, &flight).expect("allowed").expect("a change");
        assert_eq!(flight.flight_status, FlightStatus::Scheduled);
    }
}
