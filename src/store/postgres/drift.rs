//! Seats as flights count them, beside their bookings'.

use super::error::store_error;
use crate::store::drift::{NEWEST_BOOKINGS, SeatCountRow};
use crate::store::{SeatCount, SeatsAsked, StoreError};
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
    .await
    .map_err(store_error)?;
    Ok(rows.into_iter().map(SeatCount::from).collect())
}
