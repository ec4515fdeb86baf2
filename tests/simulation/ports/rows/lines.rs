//! Waiting lists: what is loaded and written of them, and what the sweeper finds.

use super::Rows;
use airline_booking::domain::{
    BookingStatus, Entry, EntryStatus, Flight, FlightId, PaymentReference, WaitlistId,
};
use airline_booking::rules::waiting::Terms;
use airline_booking::rules::{EntryChange, State, Wanted};
use airline_booking::store::{Ahead, EntryCounts, EntryRecord, LinesDue};
use chrono::TimeDelta;

/// `OFFER_TTL`.
pub const OFFER_TTL: TimeDelta = TimeDelta::seconds(6);

/// The waiting list's settings.
pub const TERMS: Terms = Terms {
    overtakes_max: 2,
    gather_for: TimeDelta::seconds(5),
    release_before: TimeDelta::hours(24),
};

impl Rows {
    /// Loads the entries that a batch wants. Returns the orders of their offers.
    pub(super) fn load_entries(&self, wanted: &Wanted, state: &mut State) -> Vec<PaymentReference> {
        let made = state.requests.values().map(|record| WaitlistId(record.made));
        let made: Vec<_> = made.filter(|_| !wanted.entrants.is_empty()).collect();
        let is_wanted = |entry: &&Entry| {
            let is_active = entry.status.is_active();
            wanted.entries.contains(&entry.id)
                || made.contains(&entry.id)
                || is_active && wanted.lines.contains(&entry.flight_id)
                || is_active && wanted.entrants.contains(&(entry.flight_id, entry.user_id))
        };
        let entries: Vec<_> = self.entries.values().filter(is_wanted).cloned().collect();
        let offered = entries.iter().filter(|entry| entry.status == EntryStatus::Offered);
        let orders = offered.map(|entry| entry.payment_reference).collect();
        state.entries.extend(entries.into_iter().map(|entry| (entry.id, entry)));
        orders
    }

    /// Writes changes of entries. A user has one active entry for a flight.
    pub(super) fn write_entries(&mut self, entries: Vec<EntryChange>) {
        for EntryChange { after, .. } in entries {
            let is_waiting = after.status == EntryStatus::Waiting;
            let stored = self.entries.get(&after.id).and_then(|row| row.passengers.clone());
            let passengers = stored.or_else(|| after.passengers.clone()).filter(|_| is_waiting);
            self.entries.insert(after.id, Entry { passengers, ..after.clone() });
            let active = self.entries.values().filter(|entry| {
                entry.status.is_active()
                    && (entry.flight_id, entry.user_id) == (after.flight_id, after.user_id)
            });
            if active.count() > 1 {
                self.complaints.push(format!("user {} waits twice: {after:?}", after.user_id));
            }
        }
    }

    /// The parties that wait for a flight, in the order of the line.
    pub fn line(&self, flight: FlightId) -> Vec<&Entry> {
        let is_of_line =
            |entry: &&Entry| entry.flight_id == flight && entry.status == EntryStatus::Waiting;
        let mut line: Vec<_> = self.entries.values().filter(is_of_line).collect();
        line.sort_by_key(|entry| entry.place);
        line
    }

    /// An entry and its place.
    pub fn entry_record(&self, id: WaitlistId) -> Option<EntryRecord> {
        let entry = self.entries.get(&id)?;
        let flight = self.flights.get(&entry.flight_id)?;
        let before = self.line(entry.flight_id).into_iter().filter(|e| e.place < entry.place);
        let (parties, seats) =
            before.fold((0, 0), |(parties, seats), e| (parties + 1, seats + e.seats));
        Some(EntryRecord {
            entry: Entry { passengers: None, ..entry.clone() },
            ahead: Ahead { parties, seats },
            passed: flight.line.passed,
            flight_status: flight.flight_status,
        })
    }

    /// Flights whose line has something to do.
    pub fn lines_to_serve(&self, due: LinesDue) -> Vec<FlightId> {
        let is_due = |flight: &&Flight| {
            let waits = flight.line.waiting > 0 && self.is_line_due(flight, due);
            waits || self.has_ended_offer(flight.id)
        };
        self.flights.values().filter(is_due).map(|flight| flight.id).collect()
    }

    fn is_line_due(&self, flight: &Flight, due: LinesDue) -> bool {
        let is_closed = flight.departure().is_some_and(|departure| departure <= due.closing);
        let fits = |entry: &&Entry| {
            flight.line.gathers_until.is_none()
                && entry.seats <= flight.free_seats()
                && entry.max_price.is_none_or(|max| flight.price <= max)
        };
        let is_over = |entry: &&Entry| entry.until.is_some_and(|until| until <= due.now);
        flight.line.is_due(due.now)
            || !flight.flight_status.is_for_sale()
            || is_closed
            || self.line(flight.id).iter().any(|entry| fits(entry) || is_over(entry))
    }

    fn has_ended_offer(&self, flight: FlightId) -> bool {
        let offered = self
            .entries
            .values()
            .filter(|entry| entry.flight_id == flight && entry.status == EntryStatus::Offered);
        let mut bookings = offered.filter_map(|entry| self.bookings.get(&entry.id.booking()));
        bookings.any(|booking| booking.status != BookingStatus::Pending)
    }

    /// How many parties wait, and how many offers are open.
    pub fn count_entries(&self) -> EntryCounts {
        let count = |status| self.entries.values().filter(|e| e.status == status).count() as i64;
        EntryCounts { waiting: count(EntryStatus::Waiting), offered: count(EntryStatus::Offered) }
    }
}
