//! Samples for the drift check: seats as flights count them and as their bookings do; bookings beside their
//! payments.

use crate::domain::{BookingId, FlightId};

/// How many of the newest bookings each sample includes.
pub(in crate::store) const NEWEST_BOOKINGS: i64 = 256;

/// Flights to sample, besides those of the newest bookings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatsAsked {
    /// Sample flights after this one, by number.
    pub after: FlightId,
    /// How many after `after`.
    pub walk: usize,
    /// Further ones to sample.
    pub also: Vec<FlightId>,
}

/// A flight's seats, and those of its bookings at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatCount {
    /// The flight.
    pub flight: FlightId,
    /// All its seats.
    pub total: i64,
    /// Seats that are not paid for; `held` is part of them.
    pub available: i64,
    /// Seats held for pending bookings.
    pub held: i64,
    /// Seats sold elsewhere.
    pub blocked: i64,
    /// Seats of its pending bookings.
    pub pending: i64,
    /// Seats of its completed bookings.
    pub completed: i64,
}

/// Bookings to compare with their payments, besides the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentsCompared {
    /// Sample bookings after this one, by number.
    pub after: BookingId,
    /// How many after `after`.
    pub walk: usize,
    /// Further ones to sample.
    pub also: Vec<BookingId>,
}

/// The payment that decides about a booking: its order's captured one, else the open one, else any; and its entry in
/// the simulated gateway's books.
macro_rules! deciding_payment {
    () => {
        " LEFT JOIN payments AS p ON p.reference = (
               SELECT q.reference FROM payments AS q
                WHERE q.reference = b.payment_reference_id
                   OR (q.order_reference = b.payment_reference_id AND q.order_reference IS NOT NULL)
                ORDER BY CASE q.status WHEN 'captured' THEN 0 WHEN 'requested' THEN 1 ELSE 2 END LIMIT 1)
          LEFT JOIN gateway_ledger AS g ON g.reference = p.reference"
    };
}
pub(in crate::store) use deciding_payment;

/// What changes of flight add to the payment of the order of booking `b`: the sum of a column of its captured differences.
macro_rules! of_differences {
    ($sum:literal) => {
        concat!(
            "(SELECT coalesce(sum(",
            $sum,
            "), 0) FROM bookings AS o
               JOIN bookings AS n ON n.replaces = o.id
               JOIN payments AS d ON d.reference = n.payment_reference_id AND d.status = 'captured'
              WHERE o.payment_reference_id = b.payment_reference_id AND o.has_changes)"
        )
    };
}
pub(in crate::store) use of_differences;

/// Whether a booking is pending exactly if its payment is requested, its captured payment and differences are the price of
/// what it sold, the fees kept and their refunds, no other payment has a completed booking, and the simulated gateway has captured
/// that amount and made the refunds that are done. Payments of another gateway are not in its books, and an empty
/// ledger is ignored.
macro_rules! agrees {
    () => {
        concat!("((b.status = 'pending') = (coalesce(p.status, '') = 'requested')
          AND CASE WHEN coalesce(p.status, '') <> 'captured' THEN b.status <> 'completed'
               WHEN b.replaces IS NOT NULL THEN b.status = 'cancelled'
               ELSE b.status <> 'failed' AND p.amount + ", of_differences!("d.amount"), " =
                    (SELECT coalesce(sum(o.fee + CASE o.status WHEN 'completed' THEN o.booking_price ELSE 0 END), 0)
                       FROM bookings AS o WHERE o.payment_reference_id = b.payment_reference_id)
                  + (SELECT coalesce(sum(r.amount), 0) FROM refunds AS r
                      WHERE r.payment_reference_id = p.reference)
                  + ", of_differences!("(SELECT coalesce(sum(r.amount), 0) FROM refunds AS r
                                          WHERE r.payment_reference_id = d.reference)"), " END
          AND (coalesce(p.status, '') <> 'captured' OR p.method = 'adopted' OR p.gateway IS NOT NULL
               OR (g.state IS NOT DISTINCT FROM 'captured' AND g.amount IS NOT DISTINCT FROM p.amount
                   AND NOT EXISTS (
                       SELECT 1 FROM refunds AS r LEFT JOIN gateway_refunds AS m ON m.id = r.id
                        WHERE r.payment_reference_id = p.reference AND r.status = 'done'
                          AND m.amount IS DISTINCT FROM r.amount))
               OR NOT EXISTS (SELECT 1 FROM gateway_ledger)))")
    };
}
pub(in crate::store) use agrees;

/// The fields of a [`SeatCount`], in their order.
pub(in crate::store) type SeatCountRow = (i64, i64, i64, i64, i64, i64, i64);

impl From<SeatCountRow> for SeatCount {
    fn from(row: SeatCountRow) -> Self {
        let (flight, total, available, held, blocked, pending, completed) = row;
        let flight = FlightId(flight);
        Self { flight, total, available, held, blocked, pending, completed }
    }
}
