//! All journeys that no other beats, by the Connection Scan Algorithm (Dibbelt, Pajor, Strasser, Wagner:
//! "Connection Scan Algorithm", ACM Journal of Experimental Algorithmics 23, 2018), as a profile scan with
//! sets of unbeaten labels.
//!
//! One pass over the departures, from the last to the first: each flight's journeys are those that begin
//! within its connection time where it arrives, with the flight in front. Since a connection has a maximum
//! too, a later departure is no better on the way: labels are compared only with those of the same flight.
//!
//! No city twice: flights that return to the source or leave the destination are skipped. With at most
//! three flights no other city can repeat.

use super::front::{Front, LEGS_MAX, Label, Legs};
use super::timetable::{Departure, Place, Timetable};
use crate::domain::{Currency, Timestamp};
use chrono::TimeDelta;
use std::ops::{Range, RangeInclusive};

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) source: Place,
    pub(super) destination: Place,
    /// When the first flight departs.
    pub(super) departing: Range<Timestamp>,
    /// Maximum flights, 1 to [`LEGS_MAX`].
    pub(super) legs_max: usize,
    /// How long after an arrival the next flight departs.
    pub(super) connection: RangeInclusive<TimeDelta>,
    /// Maximum journeys that are equal in each criterion.
    pub(super) equals_max: usize,
}

/// A journey that no other beats. A direct flight whose arrival is unknown is not compared with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Journey {
    pub(super) currency: Currency,
    pub(super) legs: Legs,
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) journeys: Vec<Journey>,
    /// The flights from which the destination can be reached in time: all that a journey can have.
    pub(super) useful: Vec<usize>,
}

/// A journey from a city on the way.
#[derive(Debug, Clone, Copy)]
struct Onward {
    departs_at: Timestamp,
    label: Label,
}

/// Scans the usable flights of each currency: prices in different currencies can't be added or compared.
pub(super) fn scan(
    timetable: &Timetable,
    request: &Request,
    is_usable: impl Fn(&Departure) -> bool,
) -> Scanned {
    let mut scanned = Scanned::default();
    for currency in &timetable.currencies {
        Scan::new(timetable, request, *currency).run(&is_usable, &mut scanned);
    }
    scanned
}

struct Scan<'a> {
    timetable: &'a Timetable,
    request: &'a Request,
    currency: Currency,
    /// For each city the journeys onward, by falling departure: those of one flight, and of two.
    onward: [Vec<Vec<Onward>>; LEGS_MAX - 1],
    /// The whole journeys, by falling departure.
    whole: Vec<Onward>,
}

impl<'a> Scan<'a> {
    fn new(timetable: &'a Timetable, request: &'a Request, currency: Currency) -> Self {
        let onward = std::array::from_fn(|_| vec![Vec::new(); timetable.places]);
        Self { timetable, request, currency, onward, whole: Vec::new() }
    }

    fn run(mut self, is_usable: &impl Fn(&Departure) -> bool, scanned: &mut Scanned) {
        let Request { source, destination, departing, .. } = self.request;
        for (position, flight) in self.timetable.departures.iter().enumerate().rev() {
            if flight.departs_at < departing.start {
                break;
            }
            let is_first = flight.source == *source;
            if flight.currency != self.currency
                || flight.destination == *source
                || flight.source == *destination
                || is_first && flight.departs_at >= departing.end
                || !is_usable(flight)
            {
                continue;
            }
            if flight.arrives_at.is_none() && is_first && flight.destination == *destination {
                scanned.useful.push(position);
                let (currency, legs) = (self.currency, Legs::one(position));
                scanned.journeys.push(Journey { currency, legs });
                continue;
            }
            let front = self.journeys_beginning_with(position, flight);
            if !front.labels().is_empty() {
                scanned.useful.push(position);
                self.keep(flight, &front);
            }
        }
        scanned.journeys.extend(self.unbeaten());
    }

    /// The journeys that begin with a flight.
    fn journeys_beginning_with(&self, position: usize, flight: &Departure) -> Front {
        let mut front = Front::keeping(self.request.equals_max);
        let Some(arrives_at) = flight.arrives_at else { return front };
        // A flight that is not the first has at least one before it.
        let before = usize::from(flight.source != self.request.source);
        if before >= self.request.legs_max {
            return front;
        }
        if flight.destination == self.request.destination {
            front.add(Label { arrives_at, price: flight.price, legs: Legs::one(position) });
            return front;
        }
        let onward_max = self.request.legs_max - before - 1;
        let (earliest, latest) = (
            arrives_at + *self.request.connection.start(),
            arrives_at + *self.request.connection.end(),
        );
        for onward in &self.onward[..onward_max] {
            let onward = &onward[flight.destination];
            let from = onward.partition_point(|onward| onward.departs_at > latest);
            let until = onward.partition_point(|onward| onward.departs_at >= earliest);
            for Onward { label, .. } in onward.get(from..until).unwrap_or_default() {
                let (price, legs) = (label.price + flight.price, label.legs.after(position));
                front.add(Label { price, legs, ..*label });
            }
        }
        front
    }

    /// Notes the journeys that begin with a flight, for those before it.
    fn keep(&mut self, flight: &Departure, front: &Front) {
        for label in front.labels() {
            let onward = Onward { departs_at: flight.departs_at, label: *label };
            if flight.source == self.request.source {
                self.whole.push(onward);
            } else {
                self.onward[label.legs.positions().len() - 1][flight.source].push(onward);
            }
        }
    }

    /// The whole journeys that no other beats, in departure too.
    fn unbeaten(&self) -> Vec<Journey> {
        let mut unbeaten = Vec::new();
        let mut later = Front::keeping(1);
        for simultaneous in self.whole.chunk_by(|one, next| one.departs_at == next.departs_at) {
            let mut front = Front::keeping(self.request.equals_max);
            for Onward { label, .. } in simultaneous {
                if !later.covers(label) {
                    front.add(*label);
                }
            }
            for label in front.labels() {
                later.add(*label);
                unbeaten.push(Journey { currency: self.currency, legs: label.legs });
            }
        }
        unbeaten
    }
}
