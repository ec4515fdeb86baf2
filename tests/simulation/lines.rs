//! I7: each flight's commands, in the order of its versions, against the waiting list's oracle.

use super::ports::rows::Rows;
use super::ports::rows::lines::{OFFER_TTL, TERMS};
use airline_booking::domain::{
    Entry, EntryStatus, Flight, FlightId, Money, SeatCount, Timestamp, WaitMode,
};
use airline_booking::rules::waiting::oracle::Oracle;
use airline_booking::rules::{BookingChange, Change, Changes, EntryChange};
use std::collections::BTreeMap;

/// A flight's line, as its history tells it.
struct Line {
    oracle: Oracle,
    /// The highest price of each party that waits, by place.
    waiting: BTreeMap<i64, Option<Money>>,
    /// When it was served last.
    served_at: Timestamp,
}

/// What of the history the oracle would not have done; and what it would do now and is not done.
pub fn faults(rows: &Rows, now: Timestamp) -> Vec<String> {
    let mut lines: BTreeMap<FlightId, Line> = BTreeMap::new();
    let mut faults = Vec::new();
    for changes in &rows.history {
        for Change { was, after } in &changes.flights {
            let line = lines.entry(was.id).or_insert_with(|| Line::of(was));
            if let Err(fault) = line.follow(changes, was, after) {
                faults.push(format!("I7: flight {}, version {}: {fault}", was.id, after.version));
                return faults;
            }
        }
    }
    for (id, line) in lines {
        faults.extend(line.fault_at_rest(&rows.flights[&id], rows, now));
    }
    faults
}

impl Line {
    fn of(flight: &Flight) -> Self {
        Self {
            oracle: Oracle::new(TERMS, flight.free_seats(), flight.departs_at),
            waiting: BTreeMap::new(),
            served_at: flight.created_at,
        }
    }

    fn follow(&mut self, changes: &Changes, was: &Flight, after: &Flight) -> Result<(), String> {
        let of_flight = |change: &&EntryChange| change.after.flight_id == was.id;
        let entries: Vec<_> = changes.entries.iter().filter(of_flight).collect();
        for EntryChange { was: before, after: entry } in &entries {
            match (before, entry.status) {
                (None, _) => self.join(entry, after),
                (Some(_), EntryStatus::Left | EntryStatus::Lapsed) => self.leave(entry.place),
                _ => {}
            }
        }
        let leaves = entries.iter().any(|change| change.after.status == EntryStatus::Left);
        let is_served = was.line.serve_due && !after.line.serve_due
            || was.line.gathers_until != after.line.gathers_until
            || entries.iter().any(|c| {
                c.was.is_some()
                    && matches!(c.after.status, EntryStatus::Offered | EntryStatus::Lapsed)
            });
        if is_served && !leaves {
            return self.serve(changes, &entries, after);
        }
        self.take_others(changes, was, after)
    }

    fn join(&mut self, entry: &Entry, flight: &Flight) {
        let takes_price = entry.max_price.is_none_or(|max| flight.price <= max);
        self.oracle.joined(entry.place, entry.seats, takes_price);
        self.waiting.insert(entry.place, entry.max_price);
    }

    fn leave(&mut self, place: i64) {
        if self.waiting.remove(&place).is_some() {
            self.oracle.left(place);
        }
    }

    /// A walk serves those whom the oracle serves.
    fn serve(
        &mut self,
        changes: &Changes,
        entries: &[&EntryChange],
        after: &Flight,
    ) -> Result<(), String> {
        let now = after.updated_at;
        for (place, max_price) in &self.waiting {
            self.oracle.priced(*place, max_price.is_none_or(|max| after.price <= max));
        }
        let offered = entries.iter().filter(|c| c.after.status == EntryStatus::Offered);
        let mut places: Vec<i64> = offered.clone().map(|change| change.after.place).collect();
        places.sort_unstable();
        let mut expected = self.oracle.promoted(now);
        expected.sort_unstable();
        if places != expected {
            return Err(format!("promoted {places:?}, and not {expected:?}"));
        }
        self.waiting.retain(|place, _| !places.contains(place));
        for change in offered {
            check_deadline(&change.after, changes)?;
        }
        if after.free_seats() != self.oracle.free() {
            return Err(format!(
                "{} seats are free, and not {}",
                after.free_seats(),
                self.oracle.free()
            ));
        }
        let gathers_until = self.oracle.gathers(now).map(|(_, until)| until);
        if after.line.gathers_until != gathers_until {
            return Err(format!(
                "gathers until {:?}, and not {gathers_until:?}",
                after.line.gathers_until
            ));
        }
        self.served_at = now;
        Ok(())
    }

    /// New holds, swapped and freed seats, another departure.
    fn take_others(
        &mut self,
        changes: &Changes,
        was: &Flight,
        after: &Flight,
    ) -> Result<(), String> {
        // A change of flight without a payment holds nothing before: it takes free seats as a new booking does.
        let is_swapped = after.free_seats() < was.free_seats();
        let takes = |change: &&BookingChange| change.was.is_none() || is_swapped;
        let of_flight = changes.bookings.iter().filter(|change| change.after.flight_id == was.id);
        let mut held = 0;
        for booking in of_flight.filter(takes).map(|change| &change.after) {
            held += booking.seats_booked;
            // Clocks are off: marks of a later time stand.
            self.oracle.held(booking.seats_booked, after.updated_at.max(self.served_at))?;
        }
        let freed: SeatCount = after.free_seats() - was.free_seats() + held;
        if freed != 0 {
            self.oracle.freed(freed);
        }
        if was.departs_at != after.departs_at {
            self.oracle.departs(after.departs_at);
        }
        Ok(())
    }

    /// What is wrong with a line while nothing moves.
    fn fault_at_rest(&self, flight: &Flight, rows: &Rows, now: Timestamp) -> Option<String> {
        let (id, line) = (flight.id, rows.line(flight.id));
        if flight.line.waiting as usize != line.len() {
            let counted = flight.line.waiting;
            return Some(format!("I7: flight {id} counts {counted} parties of {}", line.len()));
        }
        if self.oracle.would_promote(now.max(self.served_at)) {
            return Some(format!("I7: flight {id} keeps seats from those who wait"));
        }
        line.iter().find_map(|entry| {
            let counted = entry.overtaken_in_all(flight.line.passed);
            let times = self.oracle.overtaken(entry.place);
            (counted != times).then(|| {
                format!("I7: entry {} was overtaken {times} times, not {counted}", entry.id)
            })
        })
    }
}

/// An offer ends at its deadline.
fn check_deadline(entry: &Entry, changes: &Changes) -> Result<(), String> {
    let is_own = |id| id == entry.id.booking();
    let booking = changes.bookings.iter().map(|c| &c.after).find(|b| is_own(b.id));
    let Some(booking) = booking else { return Err(format!("entry {} has no booking", entry.id)) };
    let lasts = booking.hold_expires_at - booking.created_at;
    match entry.mode {
        WaitMode::Ask if lasts > OFFER_TTL => Err(format!("offer {} lasts {lasts}", entry.id)),
        WaitMode::Ask | WaitMode::Auto => Ok(()),
    }
}
