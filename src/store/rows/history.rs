//! Rows of histories.

use super::messages::{EndedRow, ended};
use super::{Cell, instant};
use crate::domain::{
    BookingLife, Currency, Disruption, DisruptionKind, FlightId, FlightMove, Money, OrderRecord,
    PassengerChanged,
};
use crate::store::StoreError;

/// Place, and `changed_at` in microseconds.
pub(in crate::store) type ChangedRow = (i32, i64);

/// Moved at, departure before, departure after, in microseconds.
pub(in crate::store) type MoveRow = (i64, i64, i64);

/// Currency; whether the flight is cancelled; number of the bookings that are concerned, and of those that have ended
/// with nothing owed; the amount; number of bookings with something under way.
pub(in crate::store) type DisruptionRow = (String, bool, i64, i64, i64, i64);

/// The corrections of a booking's passengers, and the moves of its flight. `$micros`: the column of an instant.
macro_rules! changes_of_booking {
    ($micros:ident) => {
        concat!(
            "SELECT place, ",
            $micros!("changed_at"),
            " FROM passenger_changes WHERE booking_id = $1 ORDER BY version"
        )
    };
}

/// The moves of a booking's flight.
macro_rules! moves_of_booking {
    ($micros:ident) => {
        concat!(
            "SELECT ",
            $micros!("moved_at"),
            ", ",
            $micros!("was"),
            ", ",
            $micros!("departs_at"),
            " FROM flight_moves WHERE flight_id = (SELECT flight_id FROM bookings WHERE id = $1)
               ORDER BY version"
        )
    };
}

/// What became of a flight's bookings, in one statement. `$minor`: an amount as it is counted.
///
/// A refund belongs to the disruption by its reason. A booking that ended after its flight was cancelled, without such
/// a refund, had nothing to give back but an open payment: it was held, or cost nothing.
macro_rules! disruption_of_flight {
    ($minor:ident) => {
        concat!(
            "WITH flight AS (
                SELECT f.id, f.currency, f.timestamp, f.flight_status = 'cancelled' AS is_cancelled,
                       CASE WHEN f.flight_status = 'cancelled' THEN 'airline' ELSE 'moved' END AS reason,
                       (SELECT c.cancelled_at FROM flight_cancellations AS c WHERE c.flight_id = f.id)
                           AS cancelled_at
                  FROM flights AS f WHERE f.id = $1),
            sold AS (
                SELECT b.id, b.booking_price, b.updated_at, b.status = 'completed' AS is_paid,
                       b.status IN ('cancelled', 'failed') AS is_over,
                       b.sold_departure <> f.timestamp AS is_moved,
                       (SELECT sum(r.amount) FROM refunds AS r
                         WHERE r.booking_id = b.id AND r.reason = f.reason) AS returned,
                       EXISTS (SELECT 1 FROM refunds AS r
                                WHERE r.booking_id = b.id AND r.reason = f.reason AND r.status <> 'done')
                           OR (f.is_cancelled AND EXISTS (
                               SELECT 1 FROM payments AS p
                                WHERE p.status = 'reversal_requested'
                                  AND (p.reference = b.payment_reference_id
                                       OR (p.order_reference = b.payment_reference_id
                                           AND p.order_reference IS NOT NULL)))) AS is_owed
                  FROM flight AS f JOIN bookings AS b ON b.flight_id = f.id AND b.replaces IS NULL),
            concerned AS (
                SELECT s.* FROM flight AS f JOIN sold AS s
                    ON CASE WHEN f.is_cancelled
                            THEN NOT s.is_over OR s.returned IS NOT NULL OR s.updated_at >= f.cancelled_at
                            ELSE s.is_moved AND (NOT s.is_over OR s.returned IS NOT NULL) END)
            SELECT f.currency, f.is_cancelled,
                   (SELECT count(*) FROM concerned),
                   (SELECT count(*) FROM concerned WHERE is_over AND NOT is_owed),
                   (SELECT ",
            $minor!(
                "coalesce(sum(coalesce(returned, 0)
                              + CASE WHEN f.is_cancelled AND is_paid THEN booking_price ELSE 0 END), 0)"
            ),
            " FROM concerned),
                   (SELECT count(*) FROM concerned WHERE is_owed OR (f.is_cancelled AND NOT is_over))
              FROM flight AS f"
        )
    };
}

pub(in crate::store) use {changes_of_booking, disruption_of_flight, moves_of_booking};

/// The life of a booking from its rows.
pub(in crate::store) fn life(
    record: OrderRecord,
    changes: Vec<ChangedRow>,
    moves: Vec<MoveRow>,
    messages: Vec<EndedRow>,
) -> Result<BookingLife, StoreError> {
    let cell = |table| Cell { table, row: record.order.id().to_string() };
    let (of_changes, of_moves) = (cell("passenger_changes"), cell("flight_moves"));
    let changed = |(place, at): ChangedRow| {
        Ok(PassengerChanged {
            place: of_changes.read("place", u16::try_from(place).ok())?,
            at: of_changes.read("changed_at", instant(at))?,
        })
    };
    let moved = |(at, was, departs_at): MoveRow| {
        Ok(FlightMove {
            at: of_moves.read("moved_at", instant(at))?,
            was: of_moves.read("was", instant(was))?,
            departs_at: of_moves.read("departs_at", instant(departs_at))?,
        })
    };
    let changes = changes.into_iter().map(changed).collect::<Result<_, StoreError>>()?;
    let moves = moves.into_iter().map(moved).collect::<Result<_, StoreError>>()?;
    Ok(BookingLife { record, changes, moves, messages: ended(messages) })
}

/// The disruption of a row.
pub(in crate::store) fn disruption(
    flight_id: FlightId,
    (currency, is_cancelled, bookings, refunded, amount, open): DisruptionRow,
) -> Result<Disruption, StoreError> {
    let cell = Cell { table: "flights", row: flight_id.to_string() };
    let currency: Currency = cell.read("currency", currency.parse().ok())?;
    let kind = match (is_cancelled, bookings) {
        (true, _) => Some(DisruptionKind::Cancelled),
        (false, 0) => None,
        (false, _) => Some(DisruptionKind::Moved),
    };
    Ok(Disruption {
        flight_id,
        kind,
        bookings,
        refunded,
        remaining: bookings - refunded,
        amount: Money::from_stored(amount, currency.decimals()),
        currency,
        done: open == 0,
    })
}
