//! Corrections of passengers, and the histories that follow from the rows.

use super::Rows;
use airline_booking::domain::{
    Booking, BookingId, BookingLife, BookingStatus, Disruption, DisruptionKind, Flight, FlightId,
    FlightStatus, Money, Passenger, PassengerChange, PassengerChanged, PassengerPatch, Refund,
    RefundReason, RefundStatus,
};

/// A row of `passenger_changes`: a correction, and what its fields were before.
#[derive(Clone)]
pub struct Corrected {
    pub change: PassengerChange,
    pub was: PassengerPatch,
}

impl Rows {
    /// Writes a correction, and keeps what the fields were.
    pub(super) fn correct(&mut self, change: PassengerChange) {
        let (id, version) = (change.booking_id, change.version);
        let is_known =
            |known: &Corrected| (known.change.booking_id, known.change.version) == (id, version);
        if self.corrected.iter().any(is_known) {
            self.complaints.push(format!("two corrections of booking {id} are version {version}"));
        }
        let Some(row) = self.bookings.get_mut(&id) else { return };
        let mut passengers: Vec<Passenger> =
            row.passengers.iter().flat_map(|all| all.to_vec()).collect();
        let Some(passenger) = passengers.get_mut(usize::from(change.place)) else { return };
        let PassengerPatch { name, email, phone } = &change.patch;
        let was = PassengerPatch {
            name: put(&mut passenger.name, name.as_deref()),
            email: put(&mut passenger.email, email.as_deref()),
            phone: put(&mut passenger.phone, phone.as_deref()),
        };
        row.passengers = Some(passengers.into());
        self.corrected.push(Corrected { change, was });
    }

    /// The rows of a booking's life. No departure is moved in a run.
    pub fn life(&self, of: BookingId) -> Option<BookingLife> {
        let record = self.record(&self.bookings.get(&of)?.payment_reference)?;
        let its = self.corrected.iter().filter(|corrected| corrected.change.booking_id == of);
        let changes = its.map(|Corrected { change, .. }| PassengerChanged {
            place: change.place,
            at: change.at,
        });
        let (moves, messages) = (Vec::new(), Vec::new());
        Some(BookingLife { record, changes: changes.collect(), moves, messages })
    }

    /// What became of a flight's bookings, as the statement of the databases says.
    pub fn disruption(&self, id: FlightId) -> Option<Disruption> {
        let flight = self.flights.get(&id)?;
        let is_cancelled = flight.flight_status == FlightStatus::Cancelled;
        let all = self.bookings.values().filter(|booking| booking.flight_id == id);
        let concerned: Vec<_> = all.filter(|booking| self.concerns(flight, booking)).collect();
        let is_open = |b: &&&Booking| self.is_owed(flight, b) || is_cancelled && !is_over(b);
        let refunded = concerned.iter().filter(|b| is_over(b) && !self.is_owed(flight, b)).count();
        let owed = concerned.iter().map(|booking| {
            let returned = self.returned(flight, booking).map(|refund| refund.amount);
            let is_sold = is_cancelled && booking.status == BookingStatus::Completed;
            let rest = is_sold.then_some(booking.booking_price);
            returned.chain(rest).fold(Money::default(), |sum, one| sum.plus(one).unwrap_or(sum))
        });
        let moved = (!concerned.is_empty()).then_some(DisruptionKind::Moved);
        Some(Disruption {
            flight_id: id,
            kind: if is_cancelled { Some(DisruptionKind::Cancelled) } else { moved },
            bookings: concerned.len() as i64,
            refunded: refunded as i64,
            remaining: (concerned.len() - refunded) as i64,
            amount: owed.fold(Money::default(), |sum, one| sum.plus(one).unwrap_or(sum)),
            currency: flight.currency,
            done: !concerned.iter().any(|booking| is_open(&booking)),
        })
    }

    fn concerns(&self, flight: &Flight, booking: &Booking) -> bool {
        let is_returned = self.returned(flight, booking).next().is_some();
        let is_live = !is_over(booking) || is_returned;
        if flight.flight_status == FlightStatus::Cancelled {
            let at = self.cancelled_at.get(&flight.id);
            return is_live || at.is_some_and(|at| booking.updated_at >= *at);
        }
        is_live && booking.departure_before(flight.departs_at).is_some()
    }

    fn returned<'a>(
        &'a self,
        flight: &Flight,
        booking: &'a Booking,
    ) -> impl Iterator<Item = &'a Refund> {
        let reason = match flight.flight_status {
            FlightStatus::Cancelled => RefundReason::Airline,
            _ => RefundReason::Moved,
        };
        let its = self.refunds.values().filter(move |r| r.booking_id == booking.id);
        its.filter(move |refund| refund.reason == reason)
    }

    fn is_owed(&self, flight: &Flight, booking: &Booking) -> bool {
        self.returned(flight, booking).any(|refund| refund.status != RefundStatus::Done)
    }
}

/// Puts a value, if there is one. Returns what it was.
fn put(field: &mut String, value: Option<&str>) -> Option<std::sync::Arc<str>> {
    let was = std::mem::replace(field, value?.to_owned());
    Some(was.into())
}

fn is_over(booking: &Booking) -> bool {
    matches!(booking.status, BookingStatus::Cancelled | BookingStatus::Failed)
}
