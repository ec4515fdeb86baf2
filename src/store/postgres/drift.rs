//! Seats as flights count them, beside their bookings'; and bookings beside their payments.

use crate::domain::BookingId;
use crate::store::drift::{NEWEST_BOOKINGS, SeatCountRow, agrees};
use crate::store::{PaymentsCompared, SeatCount, SeatsAsked, StoreError};
use sqlx::PgPool;

/// One statement, so one moment. The flights are an array: their number is then no guess of the
/// planner's, which would read all flights for as many as it fears.
pub(super) async fn count_seats(
    pool: &PgPool,
    asked: &SeatsAsked,
) -> Result<Vec<SeatCount>, StoreError> {
    let rows: Vec<SeatCountRow> = sqlx::query_as(
        "SELECT f.id, f.total_seats::bigint, f.available_seats::bigint, f.held_seats::bigint,
                f.blocked_seats::bigint, b.pending, b.completed
           FROM flights AS f
          CROSS JOIN LATERAL (
                SELECT coalesce(sum(seats_booked) FILTER (WHERE status = 'pending'), 0) AS pending,
                       coalesce(sum(seats_booked) FILTER (WHERE status = 'completed'), 0) AS completed
                  FROM bookings WHERE flight_id = f.id) AS b
          WHERE f.id = ANY(ARRAY(
                (SELECT flight_id FROM bookings ORDER BY id DESC LIMIT $1)
                UNION (SELECT id FROM flights WHERE id > $2 ORDER BY id LIMIT $3)
                UNION SELECT unnest($4::bigint[])))",
    )
    .bind(NEWEST_BOOKINGS)
    .bind(asked.after.0)
    .bind(asked.walk as i64)
    .bind(asked.also.iter().map(|flight| flight.0).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(SeatCount::from).collect())
}

/// One statement, so one moment: each booking, and whether its payment agrees with it.
pub(super) async fn compare_payments(
    pool: &PgPool,
    asked: &PaymentsCompared,
) -> Result<Vec<(BookingId, bool)>, StoreError> {
    let rows: Vec<(i64, bool)> = sqlx::query_as(concat!(
        "SELECT b.id, ",
        agrees!(),
        " FROM bookings AS b
           LEFT JOIN payments AS p ON p.reference = b.payment_reference_id
           LEFT JOIN gateway_ledger AS g ON g.reference = b.payment_reference_id
          WHERE b.id = ANY(ARRAY(
                (SELECT id FROM bookings ORDER BY id DESC LIMIT $1)
                UNION (SELECT id FROM bookings WHERE id > $2 ORDER BY id LIMIT $3)
                UNION SELECT unnest($4::bigint[])))"
    ))
    .bind(NEWEST_BOOKINGS)
    .bind(asked.after.0)
    .bind(asked.walk as i64)
    .bind(asked.also.iter().map(|booking| booking.0).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(booking, agrees)| (BookingId(booking), agrees)).collect())
}
