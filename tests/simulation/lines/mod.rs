//! I7: each flight's commands, in the order of its versions, against the waiting list's oracle.

mod replay;

use super::ports::rows::Rows;
use super::ports::rows::lines::{OFFER_TTL, TERMS};
use airline_booking::domain::{
    Entry, EntryStatus, Flight, FlightId, SeatCount, Timestamp, WaitMode,
};
use airline_booking::rules::waiting::oracle::Oracle;
use airline_booking::rules::{BookingChange, Change, Changes, EntryChange};
use replay::Replay;
use std::collections::BTreeMap;

/// What of the history the oracle would not have done; and what it would do now and is not done.
pub fn faults(rows: &Rows, now: Timestamp) -> Vec<String> {
    let mut lines: BTreeMap<FlightId, Replay> = BTreeMap::new();
    let mut faults = Vec::new();
    for changes in &rows.history {
        for Change { was, after } in &changes.flights {
            let line = lines.entry(was.id).or_insert_with(|| line_of(was));
            if let Err(fault) = follow(line, changes, was, after) {
                faults.push(format!("I7: flight {}, version {}: {fault}", was.id, after.version));
                return faults;
            }
        }
    }
    for (id, line) in lines {
        if let Some(fault) = fault_at_rest(&line, &rows.flights[&id], rows, now) {
            faults.push(format!("I7: flight {id}: {fault}"));
        }
    }
    faults
}

fn line_of(flight: &Flight) -> Replay {
    Replay::of(TERMS, flight.free_seats(), flight.departs_at, flight.created_at)
}

fn follow(
    line: &mut Replay,
    changes: &Changes,
    was: &Flight,
    after: &Flight,
) -> Result<(), String> {
    let of_flight = |change: &&EntryChange| change.after.flight_id == was.id;
    let entries: Vec<_> = changes.entries.iter().filter(of_flight).collect();
    for EntryChange { was: before, after: entry } in &entries {
        match (before, entry.status) {
            (None, _) => line.join(entry.place, entry.seats, entry.max_price, after.price),
            (Some(_), EntryStatus::Left | EntryStatus::Lapsed) => line.leave(entry.place),
            _ => {}
        }
    }
    let leaves = entries.iter().any(|change| change.after.status == EntryStatus::Left);
    let is_served = was.line.serve_due && !after.line.serve_due
        || was.line.gathers_until != after.line.gathers_until
        || entries.iter().any(|c| {
            c.was.is_some() && matches!(c.after.status, EntryStatus::Offered | EntryStatus::Lapsed)
        });
    if is_served && !leaves {
        return serve(line, changes, &entries, after);
    }
    take_others(line, changes, was, after)
}

/// A walk serves those whom the oracle serves.
fn serve(
    line: &mut Replay,
    changes: &Changes,
    entries: &[&EntryChange],
    after: &Flight,
) -> Result<(), String> {
    let now = after.updated_at;
    let offered = entries.iter().filter(|c| c.after.status == EntryStatus::Offered);
    let mut places: Vec<i64> = offered.clone().map(|change| change.after.place).collect();
    places.sort_unstable();
    let expected = line.serve(after.price, now);
    if places != expected {
        return Err(format!("promoted {places:?}, and not {expected:?}"));
    }
    for change in offered {
        check_deadline(&change.after, changes)?;
    }
    line.check_marks(after.free_seats(), after.line.gathers_until, now)
}

/// New holds, swapped and freed seats, another departure.
fn take_others(
    line: &mut Replay,
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
        line.hold(booking.seats_booked, after.updated_at)?;
    }
    let freed: SeatCount = after.free_seats() - was.free_seats() + held;
    line.free(freed);
    if was.departs_at != after.departs_at {
        line.depart(after.departs_at);
    }
    Ok(())
}

/// What is wrong with a line while nothing moves.
fn fault_at_rest(replay: &Replay, flight: &Flight, rows: &Rows, now: Timestamp) -> Option<String> {
    let line = rows.line(flight.id);
    if flight.line.waiting as usize != line.len() {
        return Some(format!("counts {} parties of {}", flight.line.waiting, line.len()));
    }
    if replay.owes_seats(now) {
        return Some("keeps seats from those who wait".to_owned());
    }
    let passed = flight.line.passed;
    let check =
        |entry: &&Entry| replay.check_count(entry.place, entry.overtaken_in_all(passed)).err();
    line.iter().find_map(check)
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
