//! Finds the stored flight that a line changes.

use super::seen::Seen;
use super::table::Line;
use crate::domain::{Flight, FlightId, FlightStatus, ScheduleZone, Timestamp, route_key};
use crate::rules::Wanted;
use crate::store::{RouteSpan, Store, StoreError};
use chrono::TimeDelta;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A rescheduled flight is looked for on its day, and within this time of its new departure: that finds a delay
/// past midnight, but not the next day's flight of the same number.
const NEAR: TimeDelta = TimeDelta::hours(12);

/// The stored flight that a line is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// None: the flight is new.
    New,
    /// This flight.
    Flight(Flight),
    /// Several flights match.
    Ambiguous(Vec<Flight>),
    /// The line has an id that no flight has.
    Unknown(FlightId),
}

/// Stored flights that may match some lines.
pub(super) struct Stored {
    zone: ScheduleZone,
    by_id: HashMap<FlightId, Flight>,
    by_route: HashMap<String, Vec<Flight>>,
}

impl Stored {
    /// Reads the flights in two queries.
    pub(super) async fn read(
        store: &dyn Store,
        lines: &[Line],
        zone: ScheduleZone,
    ) -> Result<Self, StoreError> {
        let flights = lines.iter().filter_map(|line| line.id).collect();
        let wanted = Wanted { flights, ..Wanted::default() };
        let by_id =
            if wanted.is_empty() { HashMap::new() } else { store.load(&wanted).await?.flights };
        let spans = spans(lines, zone);
        let found = if spans.is_empty() { Vec::new() } else { store.departures(&spans).await? };
        Ok(Self::of(zone, by_id, found))
    }

    fn of(zone: ScheduleZone, by_id: HashMap<FlightId, Flight>, found: Vec<Flight>) -> Self {
        let mut by_route: HashMap<String, Vec<Flight>> = HashMap::new();
        for flight in found {
            let route = route_key(&flight.source, &flight.destination);
            by_route.entry(route).or_default().push(flight);
        }
        Self { zone, by_id, by_route }
    }

    /// The flight that a line is for. A near flight does not match if another line of the file identifies it
    /// (`seen`) or has changed it (`taken`).
    pub(super) fn matching(&self, line: &Line, seen: &Seen, taken: &HashSet<FlightId>) -> Match {
        if let Some(id) = line.id {
            let flight = self.by_id.get(&id).cloned();
            return flight.map_or(Match::Unknown(id), Match::Flight);
        }
        let exact = self.exact(line);
        if !exact.is_empty() {
            return one_of(exact);
        }
        if line.flight.flight_number.is_none() {
            return Match::New;
        }
        let is_free = |flight: &&Flight| {
            flight.flight_number == line.flight.flight_number
                && flight.flight_status != FlightStatus::Cancelled
                && !taken.contains(&flight.id)
                && !seen.names(flight)
                && self.is_near(line.flight.departs_at, flight.departs_at)
        };
        one_of(self.on_route(line).iter().filter(is_free).collect())
    }

    fn exact(&self, line: &Line) -> Vec<&Flight> {
        let new = &line.flight;
        let is_same = |flight: &&Flight| {
            flight.departs_at == new.departs_at && flight.flight_number == new.flight_number
        };
        self.on_route(line).iter().filter(is_same).collect()
    }

    fn on_route(&self, line: &Line) -> &[Flight] {
        let route = route_key(&line.flight.source, &line.flight.destination);
        self.by_route.get(&route).map_or(&[], Vec::as_slice)
    }

    fn is_near(&self, one: Timestamp, other: Timestamp) -> bool {
        (one - other).abs() <= NEAR || self.zone.day_of(one) == self.zone.day_of(other)
    }
}

fn one_of(flights: Vec<&Flight>) -> Match {
    match flights[..] {
        [] => Match::New,
        [flight] => Match::Flight(flight.clone()),
        _ => Match::Ambiguous(flights.into_iter().cloned().collect()),
    }
}

/// Routes and times of the flights that lines without an id may match. Adjacent spans of a route are merged.
fn spans(lines: &[Line], zone: ScheduleZone) -> Vec<RouteSpan> {
    let mut by_route: BTreeMap<String, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.id.is_none()) {
        let new = &line.flight;
        let at = new.departs_at;
        let span = if new.flight_number.is_some() {
            let (from, until) = zone.bounds(zone.day_of(at));
            (from.min(at - NEAR), until.max(at + NEAR + TimeDelta::microseconds(1)))
        } else {
            (at, at + TimeDelta::microseconds(1))
        };
        by_route.entry(route_key(&new.source, &new.destination)).or_default().push(span);
    }
    let mut spans: Vec<RouteSpan> = Vec::new();
    for (route, mut of_route) in by_route {
        of_route.sort_unstable();
        for (from, until) in of_route {
            match spans.last_mut() {
                Some(last) if last.route == route && last.until >= from => {
                    last.until = last.until.max(until);
                }
                _ => spans.push(RouteSpan { route: route.clone(), from, until }),
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Currency, FareName, Money, NewFlight};

    fn inr() -> Currency {
        "INR".parse().expect("a currency")
    }

    fn line(number: u64, name: &str, at: &str) -> Line {
        let flight = NewFlight {
            flight_number: (!name.is_empty()).then(|| name.into()),
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: at.parse().expect("an instant"),
            arrives_at: None,
            available_seats: 180,
            total_seats: 180,
            flight_status: FlightStatus::Scheduled,
            price: "2500".parse().expect("a price"),
            taxes: Money::default(),
            fare_rules: FareName::default(),
        };
        Line {
            number,
            id: None,
            version: None,
            flight,
            says_available: false,
            says_status: false,
            says_taxes: false,
            fare_rules: None,
        }
    }

    fn flight(id: i64, name: &str, at: &str) -> Flight {
        let now = "2025-01-01T00:00:00Z".parse().expect("an instant");
        line(0, name, at).flight.into_flight(FlightId(id), inr(), now)
    }

    /// The ids of the stored flights that each line of a file matches. A negative id is unknown.
    fn matches(stored: &[Flight], lines: &[Line]) -> Vec<Vec<i64>> {
        let mut seen = Seen::default();
        for line in lines {
            seen.agrees(line).expect("no contradiction");
        }
        let zone = ScheduleZone(chrono_tz::UTC);
        let by_id = stored.iter().map(|flight| (flight.id, flight.clone())).collect();
        let stored = Stored::of(zone, by_id, stored.to_vec());
        let mut taken = HashSet::new();
        let mut matched = Vec::new();
        for line in lines {
            matched.push(match stored.matching(line, &seen, &taken) {
                Match::New => vec![],
                Match::Flight(flight) => {
                    taken.insert(flight.id);
                    vec![flight.id.0]
                }
                Match::Ambiguous(flights) => flights.iter().map(|flight| flight.id.0).collect(),
                Match::Unknown(id) => vec![-id.0],
            });
        }
        matched
    }

    #[test]
    fn a_rescheduled_flight_is_found_by_its_number_on_its_day_and_past_midnight() {
        let stored = [flight(1, "AI101", "2030-01-20T23:50:00Z")];
        for (at, known) in [
            ("2030-01-20T23:50:00Z", true),
            ("2030-01-20T00:10:00Z", true),
            ("2030-01-21T00:20:00Z", true),
            ("2030-01-21T11:50:00Z", true),
            ("2030-01-21T11:51:00Z", false),
            ("2030-01-19T23:50:00Z", false),
        ] {
            let found = matches(&stored, &[line(2, "AI101", at)]);
            assert_eq!(found, [if known { vec![1] } else { vec![] }], "{at}");
        }
        assert_eq!(matches(&stored, &[line(2, "AI102", "2030-01-20T23:00:00Z")]), [vec![0_i64; 0]]);
    }

    #[test]
    fn a_flight_that_another_line_identifies_is_not_a_rescheduled_one() {
        let stored = [
            flight(1, "AI101", "2030-01-20T10:00:00Z"),
            flight(2, "AI101", "2030-01-20T18:00:00Z"),
        ];
        let moved = line(2, "AI101", "2030-01-20T11:00:00Z");
        let kept = line(3, "AI101", "2030-01-20T18:00:00Z");
        assert_eq!(matches(&stored, &[moved.clone(), kept.clone()]), [[1], [2]]);
        assert_eq!(matches(&stored, &[kept, moved.clone()]), [[2], [1]]);
        assert_eq!(matches(&stored, std::slice::from_ref(&moved)), [[1, 2]], "both match");
        let third = line(3, "AI101", "2030-01-20T12:00:00Z");
        let one = &stored[..1];
        assert_eq!(matches(one, &[moved, third]), [vec![1], vec![]], "one flight, two lines");
    }

    #[test]
    fn a_flight_without_a_number_is_found_by_its_exact_departure_only() {
        let stored = [flight(1, "", "2030-01-20T10:00:00Z")];
        assert_eq!(matches(&stored, &[line(2, "", "2030-01-20T10:00:00Z")]), [[1]]);
        assert_eq!(matches(&stored, &[line(2, "", "2030-01-20T11:00:00Z")]), [vec![0_i64; 0]]);
        assert_eq!(matches(&stored, &[line(2, "AI1", "2030-01-20T10:00:00Z")]), [vec![0_i64; 0]]);
    }

    #[test]
    fn an_id_identifies_a_flight_regardless_of_the_other_columns() {
        let stored = [
            flight(1, "AI101", "2030-01-20T10:00:00Z"),
            flight(2, "AI101", "2030-01-21T10:00:00Z"),
        ];
        let by_id = |id| Line { id: Some(FlightId(id)), ..line(2, "AI9", "2030-03-01T10:00:00Z") };
        assert_eq!(matches(&stored, &[by_id(2)]), [[2]]);
        assert_eq!(matches(&stored, &[by_id(3)]), [[-3]]);
        // If one flight is identified by id, a near line matches the other.
        let near = line(3, "AI101", "2030-01-20T22:30:00Z");
        assert_eq!(matches(&stored, std::slice::from_ref(&near)), [[1, 2]]);
        assert_eq!(matches(&stored, &[near, by_id(2)]), [[1], [2]]);
    }

    #[test]
    fn a_cancelled_flight_is_not_rescheduled() {
        let mut stored = flight(1, "AI101", "2030-01-20T10:00:00Z");
        stored.flight_status = FlightStatus::Cancelled;
        assert_eq!(
            matches(&[stored], &[line(2, "AI101", "2030-01-20T11:00:00Z")]),
            [vec![0_i64; 0]]
        );
    }

    #[test]
    fn adjacent_spans_of_a_route_are_merged() {
        let lines = [
            line(2, "AI101", "2030-01-20T10:00:00Z"),
            line(3, "AI102", "2030-01-21T10:00:00Z"),
            line(4, "", "2030-02-01T10:00:00Z"),
        ];
        let spans = spans(&lines, ScheduleZone(chrono_tz::UTC));
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        assert_eq!(spans.len(), 2, "{spans:?}");
        assert!(
            spans[0].from <= at("2030-01-19T22:00:00Z")
                && spans[0].until > at("2030-01-21T22:00:00Z")
        );
        assert_eq!(spans[1].until - spans[1].from, TimeDelta::microseconds(1));
    }
}
