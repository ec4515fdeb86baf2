//! What few commits write: corrections of passengers, and notes of cancelled flights. A set of the commit's one
//! statement would cost every commit something.

use crate::domain::{Flight, FlightStatus, PassengerChange};
use crate::rules::{Change, NetChanges};
use crate::store::StoreError;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::sqlite::connection::writer::Tx;

/// Keeps what the fields were.
const NOTE: &str = "
INSERT INTO passenger_changes (booking_id, version, place, was, changed_at)
SELECT b.id, ?2, ?3, (SELECT json_group_object(
                                 field.key, b.booking_metadata ->> ('$[' || ?3 || '].' || field.key))
                        FROM json_each(?4) AS field), ?5
  FROM bookings AS b WHERE b.id = ?1";

const CORRECT: &str = "
UPDATE bookings SET booking_metadata = json_set(
       booking_metadata, '$[' || ?2 || ']', json(json_patch(booking_metadata -> ('$[' || ?2 || ']'), ?3)))
 WHERE id = ?1 AND erased_at IS NULL AND json_type(booking_metadata, '$[' || ?2 || ']') = 'object'";

const NOTE_CANCELLATION: &str =
    "INSERT OR IGNORE INTO flight_cancellations (flight_id, cancelled_at) VALUES (?1, ?2)";

/// Whether a commit writes any of it.
pub(super) fn is_in(net: &NetChanges) -> bool {
    !net.passengers.is_empty() || net.flights.iter().any(is_cancellation)
}

/// Writes it, after the versions of the bookings.
pub(super) async fn write(tx: &mut Tx<'_>, net: &NetChanges) -> Result<(), StoreError> {
    for change in &net.passengers {
        correct(tx, change).await?;
    }
    for change in net.flights.iter().filter(|change| is_cancellation(change)) {
        let note = sqlx::query(NOTE_CANCELLATION).bind(change.after.id.0);
        note.bind(micros(change.after.updated_at)).execute(&mut **tx).await?;
    }
    Ok(())
}

fn is_cancellation(Change { was, after }: &Change<Flight, Flight>) -> bool {
    was.flight_status != FlightStatus::Cancelled && after.flight_status == FlightStatus::Cancelled
}

async fn correct(tx: &mut Tx<'_>, change: &PassengerChange) -> Result<(), StoreError> {
    let (place, patch) = (i32::from(change.place), json(&change.patch));
    sqlx::query(NOTE)
        .bind(change.booking_id.0)
        .bind(change.version)
        .bind(place)
        .bind(&patch)
        .bind(micros(change.at))
        .execute(&mut **tx)
        .await?;
    let correct = sqlx::query(CORRECT).bind(change.booking_id.0).bind(place).bind(&patch);
    if correct.execute(&mut **tx).await?.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "booking {} has no passenger {place} to correct",
        change.booking_id
    )))
}
