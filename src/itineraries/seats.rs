//! Journeys whose flights have the seats: seats are read from the store, never from the timetable.

use super::scan::{Request, Scanned, scan};
use super::timetable::Timetable;
use crate::domain::{Currency, Flight, FlightId, SeatCount, Timestamp};
use crate::rules::Wanted;
use crate::store::{Commits, StoreError};
use std::collections::{BTreeMap, HashMap};

/// How often the flights of the journeys found are read. If some lack seats even then, all flights that a
/// journey can have are read, which ends the search.
const ROUNDS_MAX: usize = 2;

/// The journeys that no other with the seats beats: their flights as stored, and their currency.
#[derive(Debug)]
pub(super) struct Confirmed {
    pub(super) journeys: Vec<(Vec<Flight>, Currency)>,
    /// Whether a flight is no longer as the timetable shows it; such flights are left out.
    pub(super) is_stale: bool,
}

/// Finds journeys of flights that are open at `now` and have `seats` free.
pub(super) async fn confirmed(
    store: &(impl Commits + ?Sized),
    timetable: &Timetable,
    request: &Request,
    seats: SeatCount,
    now: Timestamp,
) -> Result<Confirmed, StoreError> {
    // The flights read so far; `None`: it lacks the seats or has changed.
    let mut known: HashMap<FlightId, Option<Flight>> = HashMap::new();
    let mut is_stale = false;
    let mut round = 0;
    loop {
        let scanned = scan(timetable, request, |departure| {
            departure.is_open(now) && known.get(&departure.id).is_none_or(Option::is_some)
        });
        let unknown = unknown(timetable, &scanned, round < ROUNDS_MAX, &known);
        if unknown.is_empty() {
            return Ok(Confirmed { journeys: flights(timetable, &scanned, &known), is_stale });
        }
        let wanted = Wanted { flights: unknown.keys().copied().collect(), ..Wanted::default() };
        let mut read = store.load(&wanted).await?.flights;
        for (id, position) in unknown {
            let departure = &timetable.departures[position];
            let flight = read.remove(&id).filter(|flight| timetable.shows(departure, flight));
            is_stale |= flight.is_none();
            known.insert(id, flight.filter(|flight| flight.free_seats() >= seats));
        }
        round += 1;
    }
}

/// The flights to read, with their positions: those of the journeys, or all useful ones.
fn unknown(
    timetable: &Timetable,
    scanned: &Scanned,
    of_journeys: bool,
    known: &HashMap<FlightId, Option<Flight>>,
) -> BTreeMap<FlightId, usize> {
    let of_journey = scanned.journeys.iter().flat_map(|journey| journey.legs.positions());
    let with_id = |position: &usize| (timetable.departures[*position].id, *position);
    let mut found: BTreeMap<_, _> = of_journey.map(with_id).collect();
    found.retain(|id, _| !known.contains_key(id));
    if !found.is_empty() && !of_journeys {
        found.extend(scanned.useful.iter().map(with_id));
        found.retain(|id, _| !known.contains_key(id));
    }
    found
}

fn flights(
    timetable: &Timetable,
    scanned: &Scanned,
    known: &HashMap<FlightId, Option<Flight>>,
) -> Vec<(Vec<Flight>, Currency)> {
    let flight = |position: &usize| known.get(&timetable.departures[*position].id)?.clone();
    let journeys = scanned.journeys.iter();
    let whole = journeys.filter_map(|journey| {
        let flights: Option<Vec<Flight>> = journey.legs.positions().iter().map(flight).collect();
        Some((flights?, journey.currency))
    });
    whole.collect()
}
