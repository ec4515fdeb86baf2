//! What a client was shown and told.

use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Flight, FlightId, FlightIds, Order, Places, UserId,
};
use airline_booking::rules::{OrderPart, Segments};
use std::collections::BTreeMap;

/// What a client knows of a request for seats.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of its passengers, which no other request has.
    pub mark: String,
    /// The flights, by segment.
    pub flights: FlightIds,
    pub seats: i32,
    /// Orders of the answers: 201, or 200 for a repeat.
    pub accepted: Vec<BookingId>,
    /// Whether each attempt without an order was refused, so that nothing was written.
    pub refused: bool,
}

/// A cancellation that was confirmed.
#[derive(Debug, Clone)]
pub struct Cancelled {
    pub booking: BookingId,
    /// The passengers; `None`: all.
    pub passengers: Option<Places>,
}

impl Cancelled {
    /// What a confirmed cancellation cancels of an order.
    pub fn of<'a>(
        part: &'a OrderPart,
        own: BookingId,
        order: &'a Order,
    ) -> impl Iterator<Item = (Self, &'a Booking)> {
        let has_segment = move |booking: &&Booking| match &part.segments {
            Segments::Own => booking.id == own,
            Segments::All => true,
            Segments::Only(segments) => segments.contains(&booking.segment),
        };
        order.bookings.iter().filter(has_segment).map(|booking| {
            (Self { booking: booking.id, passengers: part.passengers.clone() }, booking)
        })
    }

    /// Whether a booking shows it.
    pub fn is_so(&self, booking: &Booking) -> bool {
        let is_gone = |place| booking.cancelled.contains(place);
        booking.status == BookingStatus::Cancelled
            || self.passengers.as_ref().is_some_and(|all| all.iter().all(is_gone))
    }
}

/// What a client has seen so far.
#[derive(Default)]
pub struct Seen {
    /// Each booking as it was seen last.
    pub bookings: BTreeMap<BookingId, Booking>,
    /// The last version of each flight.
    versions: BTreeMap<FlightId, i64>,
}

impl Seen {
    /// Adds a booking. It may not be as it was before what was seen earlier. Returns what is wrong with it.
    pub fn see(&mut self, booking: &Booking, user: UserId) -> Option<String> {
        let (id, status) = (booking.id, booking.status);
        let before = self.bookings.insert(id, booking.without_passengers());
        if booking.user_id != user {
            return Some(format!("booking {id} belongs to another user"));
        }
        let before = before?;
        let is_back = match before.status {
            BookingStatus::Completed => status == BookingStatus::Pending,
            BookingStatus::Failed => status != BookingStatus::Failed,
            BookingStatus::Cancelled => status != BookingStatus::Cancelled,
            BookingStatus::Pending => false,
        };
        if is_back || before.version > booking.version {
            return Some(format!("booking {id} went back from {before:?} to {booking:?}"));
        }
        None
    }

    /// Adds a flight. It may not be as it was before what was seen earlier. Returns what is wrong with it.
    pub fn see_flight(&mut self, flight: &Flight) -> Option<String> {
        let before = self.versions.insert(flight.id, flight.version).unwrap_or(0);
        let (id, after) = (flight.id, flight.version);
        let went_back = || format!("flight {id} went back from version {before} to {after}");
        (before > after).then(went_back)
    }
}
