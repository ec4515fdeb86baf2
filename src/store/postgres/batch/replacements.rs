//! New bookings that hold seats for a change of flight. Few are, so each is a statement of its own; the one statement
//! of a commit inserts all other bookings.

use crate::domain::Booking;
use crate::store::rows::micros;
use sqlx::PgConnection;

const INSERT: &str = "
INSERT INTO bookings (id, flight_id, user_id, status, payment_reference_id, booking_price,
       booking_taxes, seats_booked, hold_expires_at, created_at, updated_at, fare_rules,
       sold_departure, replaces)
VALUES ($1, $2, $3, $4, $5, major($6), major($7), $8, instant($9), instant($10), instant($11), $12,
       instant($13), $14)";

/// Inserts a booking without passengers: those of the booking that it replaces travel.
pub(super) async fn insert(connection: &mut PgConnection, booking: &Booking) -> sqlx::Result<()> {
    sqlx::query(INSERT)
        .bind(booking.id.0)
        .bind(booking.flight_id.0)
        .bind(booking.user_id.0)
        .bind(booking.status.as_str())
        .bind(booking.payment_reference.to_string())
        .bind(booking.booking_price.stored())
        .bind(booking.booking_taxes.stored())
        .bind(booking.seats_booked)
        .bind(micros(booking.hold_expires_at))
        .bind(micros(booking.created_at))
        .bind(micros(booking.updated_at))
        .bind(booking.fare_rules.stored())
        .bind(booking.sold_departure.map(micros))
        .bind(booking.replaces.map(|id| id.0))
        .execute(connection)
        .await?;
    Ok(())
}
