//! The corrections of passengers of a batch.

use super::status_updates::check;
use crate::domain::PassengerChange;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use sqlx::PgConnection;

/// Keeps what the fields were.
const NOTE: &str = "
INSERT INTO passenger_changes (booking_id, version, place, was, changed_at)
SELECT b.id, $2, $3, (SELECT jsonb_object_agg(field, b.booking_metadata -> $3 -> field)
                        FROM jsonb_object_keys(CAST($4 AS text)::jsonb) AS field), instant($5)
  FROM bookings AS b WHERE b.id = $1";

/// An erased booking stays so, also if an earlier release erased it and left its version.
const CORRECT: &str = "
UPDATE bookings SET booking_metadata = jsonb_set(
       booking_metadata, ARRAY[$2::text], (booking_metadata -> $2) || CAST($3 AS text)::jsonb)
 WHERE id = $1 AND erased_at IS NULL AND jsonb_typeof(booking_metadata -> $2) = 'object'";

/// Writes the corrections in the order in which they were decided, after the versions of their bookings. Fails with
/// [`sqlx::Error::RowNotFound`] if a booking has no such passenger.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[PassengerChange],
) -> Result<(), sqlx::Error> {
    for change in changes {
        let (place, patch) = (i32::from(change.place), json(&change.patch));
        let note = sqlx::query(NOTE)
            .bind(change.booking_id.0)
            .bind(change.version)
            .bind(place)
            .bind(&patch)
            .bind(micros(change.at));
        note.execute(&mut *connection).await?;
        let correct = sqlx::query(CORRECT).bind(change.booking_id.0).bind(place).bind(&patch);
        check(1, correct.execute(&mut *connection).await?.rows_affected())?;
    }
    Ok(())
}
