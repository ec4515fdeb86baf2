//! Seats as flights count them, beside their bookings'; and bookings beside their payments.

use super::commit::json;
use crate::domain::BookingId;
use crate::store::drift::{NEWEST_BOOKINGS, SeatCountRow, agrees};
use crate::store::{PaymentsCompared, SeatCount, SeatsAsked, StoreError};
use sqlx::SqlitePool;

/// One statement, so one moment. Bookings are read by their flight.
pub(super) async fn count_seats(
    reader: &SqlitePool,
    asked: &SeatsAsked,
) -> Result<Vec<SeatCount>, StoreError> {
    let also: Vec<i64> = asked.also.iter().map(|flight| flight.0).collect();
    let rows: Vec<SeatCountRow> = sqlx::query_as(
        "WITH asked (id) AS (
             SELECT flight_id FROM (SELECT flight_id FROM bookings ORDER BY id DESC LIMIT ?1)
             UNION SELECT id FROM (SELECT id FROM flights WHERE id > ?2 ORDER BY id LIMIT ?3)
             UNION SELECT value FROM json_each(?4))
         SELECT f.id, f.total_seats, f.available_seats, f.held_seats, f.blocked_seats,
                coalesce(sum(b.seats_booked) FILTER (WHERE b.status = 'pending'), 0),
                coalesce(sum(b.seats_booked) FILTER (WHERE b.status = 'completed'), 0)
           FROM asked CROSS JOIN flights AS f ON f.id = asked.id
           LEFT JOIN bookings AS b
             ON b.flight_id = f.id AND b.status IN ('pending', 'completed')
          GROUP BY f.id",
    )
    .bind(NEWEST_BOOKINGS)
    .bind(asked.after.0)
    .bind(asked.walk as i64)
    .bind(json(&also))
    .fetch_all(reader)
    .await?;
    Ok(rows.into_iter().map(SeatCount::from).collect())
}

/// One statement, so one moment: each booking, and whether its payment agrees with it.
pub(super) async fn compare_payments(
    reader: &SqlitePool,
    asked: &PaymentsCompared,
) -> Result<Vec<(BookingId, bool)>, StoreError> {
    let also: Vec<i64> = asked.also.iter().map(|booking| booking.0).collect();
    let rows: Vec<(i64, bool)> = sqlx::query_as(concat!(
        "WITH asked (id) AS (
             SELECT id FROM (SELECT id FROM bookings ORDER BY id DESC LIMIT ?1)
             UNION SELECT id FROM (SELECT id FROM bookings WHERE id > ?2 ORDER BY id LIMIT ?3)
             UNION SELECT value FROM json_each(?4))
         SELECT b.id, ",
        agrees!(),
        " FROM asked CROSS JOIN bookings AS b ON b.id = asked.id
           LEFT JOIN payments AS p ON p.reference = b.payment_reference_id
           LEFT JOIN gateway_ledger AS g ON g.reference = b.payment_reference_id"
    ))
    .bind(NEWEST_BOOKINGS)
    .bind(asked.after.0)
    .bind(asked.walk as i64)
    .bind(json(&also))
    .fetch_all(reader)
    .await?;
    Ok(rows.into_iter().map(|(booking, agrees)| (BookingId(booking), agrees)).collect())
}
