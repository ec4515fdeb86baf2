//! `migrate --release-stuck`: puts seats of adopted bookings whose payment never ran back on sale.

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{BookingId, FlightId, SeatCount};
use crate::engine::{Engine, Error};
use crate::rules::{Command, Outcome, Wanted};
use crate::store::{Commits, Store, StoreError};
use anyhow::bail;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

/// Bookings per page.
const PAGE: usize = 4_096;

/// Commands submitted at once.
const AT_ONCE: usize = 256;

/// Maximum flights, and refusals, in the report.
const NAMED_MAX: usize = 50;

/// Seats that were released, or would be.
#[derive(Debug, Default)]
struct Stuck {
    bookings: usize,
    seats: i64,
    /// Bookings with seats that are not blocked: never taken, or on sale again already.
    without_seats: usize,
    flights: BTreeMap<FlightId, SeatCount>,
    refused: Vec<String>,
}

pub(super) async fn release_stuck(
    config: &Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    let engine = app::engine_beside(config, store.clone(), clock);
    let mut stuck = Stuck::default();
    // Each visited flight's blocked seats that no visited booking accounts for.
    let mut blocked = BTreeMap::new();
    let mut after = Some(BookingId(i64::MIN));
    while let Some(from) = after {
        let (found, next) = store.adopted_bookings(from, PAGE).await?;
        after = next;
        for part in found.chunks(AT_ONCE) {
            if yes {
                release(&engine, part, &mut stuck).await?;
            } else {
                look(&*store, part, &mut blocked, &mut stuck).await?;
            }
        }
    }
    say(&report(&stuck, yes))?;
    Ok(if stuck.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts what [`release`] would do. Changes nothing.
async fn look(
    store: &dyn Commits,
    bookings: &[BookingId],
    blocked: &mut BTreeMap<FlightId, SeatCount>,
    stuck: &mut Stuck,
) -> Result<(), StoreError> {
    let located = store.locate(&[], bookings).await?;
    let wanted = Wanted {
        bookings: bookings.iter().copied().collect(),
        flights: located.bookings.values().flatten().copied().collect(),
        ..Wanted::default()
    };
    let state = store.load(&wanted).await?;
    for booking in bookings.iter().filter_map(|id| state.bookings.get(id)) {
        let Some(flight) = state.flights.get(&booking.flight_id) else { continue };
        let left = blocked.entry(flight.id).or_insert(flight.blocked_seats);
        if *left < booking.seats_booked {
            stuck.without_seats += 1;
        } else {
            *left -= booking.seats_booked;
            stuck.add(flight.id, booking.seats_booked);
        }
    }
    Ok(())
}

async fn release(engine: &Engine, bookings: &[BookingId], stuck: &mut Stuck) -> anyhow::Result<()> {
    let commands = bookings.iter().map(|booking| Command::Release(*booking)).collect();
    let outcomes = engine.submit_all(commands, &[]).await?;
    for (id, outcome) in bookings.iter().zip(outcomes) {
        match outcome {
            Ok(Outcome::Order { order, replayed: false }) => {
                let booking = order.first();
                stuck.add(booking.flight_id, booking.seats_booked);
            }
            Ok(_) => stuck.without_seats += 1,
            Err(Error::Store(away @ StoreError::Unavailable(_))) => {
                bail!(anyhow::Error::new(away).context(
                    "some seats are released already; run the command again to release the others"
                ))
            }
            Err(error) => stuck.refused.push(format!("booking {id}: {error}")),
        }
    }
    Ok(())
}

impl Stuck {
    fn add(&mut self, flight: FlightId, seats: SeatCount) {
        self.bookings += 1;
        self.seats += i64::from(seats);
        *self.flights.entry(flight).or_default() += seats;
    }
}

fn report(stuck: &Stuck, yes: bool) -> String {
    let Stuck { bookings, seats, without_seats, flights, refused } = stuck;
    let verb = if yes { "are on sale again" } else { "would be put back on sale" };
    let of = flights.len();
    let mut text = format!("{seats} seats of {bookings} adopted bookings on {of} flights {verb}");
    // Writing to a String cannot fail.
    for (flight, seats) in flights.iter().take(NAMED_MAX) {
        let _ = write!(text, "\n  flight {flight}: {seats}");
    }
    if of > NAMED_MAX {
        let _ = write!(text, "\n  and {} more flights", of - NAMED_MAX);
    }
    if *without_seats > 0 {
        let _ = write!(
            text,
            "\n{without_seats} adopted bookings stay as they are: their seats are not blocked"
        );
    }
    for refused in refused.iter().take(NAMED_MAX) {
        let _ = write!(text, "\nnot released: {refused}");
    }
    if !yes && *bookings > 0 {
        text.push_str("\nnothing was changed; add --yes to carry it out");
    }
    text
}
