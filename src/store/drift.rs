//! What a look for drift asks of a store: seats as flights count them, beside their bookings'.

use crate::domain::{BookingId, FlightId};

/// The newest bookings whose flights are looked at.
pub(super) const NEWEST_BOOKINGS: i64 = 256;

/// Which flights to count seats of; besides those of the newest bookings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatsAsked {
    /// The first flights after this one, by number.
    pub after: FlightId,
    /// How many of those.
    pub walk: usize,
    /// These as well.
    pub also: Vec<FlightId>,
}

/// A flight's seats, and those of its bookings at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatCount {
    /// The flight.
    pub flight: FlightId,
    /// Its seats.
    pub total: i64,
    /// Of those, seats that are not paid for.
    pub available: i64,
    /// Of those, seats kept for pending bookings.
    pub held: i64,
    /// Seats sold elsewhere.
    pub blocked: i64,
    /// Seats of its pending bookings.
    pub pending: i64,
    /// Seats of its completed bookings.
    pub completed: i64,
}

/// Which bookings to compare with their payments; besides the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentsCompared {
    /// The first bookings after this one, by number.
    pub after: BookingId,
    /// How many of those.
    pub walk: usize,
    /// These as well.
    pub also: Vec<BookingId>,
}

/// Whether a booking is completed exactly where its payment is captured, and the simulated gateway has
/// captured that amount. An empty ledger says nothing: then another team's provider takes the money.
macro_rules! agrees {
    () => {
        "((b.status = 'completed') = (coalesce(p.status, '') = 'captured')
          AND (coalesce(p.status, '') <> 'captured' OR p.method = 'adopted'
               OR (g.state IS NOT DISTINCT FROM 'captured' AND g.amount IS NOT DISTINCT FROM p.amount)
               OR NOT EXISTS (SELECT 1 FROM gateway_ledger)))"
    };
}
pub(super) use agrees;

/// A row of it, in this order.
pub(super) type SeatCountRow = (i64, i64, i64, i64, i64, i64, i64);

impl From<SeatCountRow> for SeatCount {
    fn from(row: SeatCountRow) -> Self {
        let (flight, total, available, held, blocked, pending, completed) = row;
        let flight = FlightId(flight);
        Self { flight, total, available, held, blocked, pending, completed }
    }
}
