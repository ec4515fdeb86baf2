//! Histories: of bookings, of their passengers' data, of flights.

use super::bookings::{begin_snapshot, read_order};
use crate::domain::{BookingId, BookingLife, Disruption, FlightId};
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::roles::history::{HeldChange, HeldChangeRow, History};
use crate::store::rows::history::{
    self, ChangedRow, DisruptionRow, MoveRow, changes_of_booking, disruption_of_flight,
    moves_of_booking,
};
use crate::store::rows::messages::{EndedRow, ended_messages};
use async_trait::async_trait;
use sqlx::PgPool;

macro_rules! micros {
    ($column:literal) => {
        concat!("micros(", $column, ")")
    };
}

macro_rules! minor {
    ($amount:literal) => {
        concat!("minor(", $amount, ")")
    };
}

const PASSENGER_CHANGES: &str = "
SELECT booking_id, place, was::text, micros(changed_at) FROM passenger_changes
 WHERE booking_id = ANY($1) ORDER BY booking_id, version";

#[async_trait]
impl History for PostgresStore {
    async fn life(&self, of: BookingId) -> Result<Option<BookingLife>, StoreError> {
        self.guard.bound(life(&self.primary, of)).await
    }

    async fn disruption(&self, flight: FlightId) -> Result<Option<Disruption>, StoreError> {
        let query = sqlx::query_as(disruption_of_flight!(minor)).bind(flight.0);
        let row: Option<DisruptionRow> =
            self.guard.bound(query.fetch_optional(&self.primary)).await?;
        row.map(|row| history::disruption(flight, row)).transpose()
    }

    async fn passenger_changes(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<HeldChange>, StoreError> {
        let ids: Vec<i64> = bookings.iter().map(|booking| booking.0).collect();
        let query = sqlx::query_as(PASSENGER_CHANGES).bind(ids);
        let rows: Vec<HeldChangeRow> = self.guard.bound(query.fetch_all(&self.primary)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

/// The rows of a booking's life, in one snapshot.
async fn life(pool: &PgPool, of: BookingId) -> Result<Option<BookingLife>, StoreError> {
    let mut tx = begin_snapshot(pool).await?;
    let record = read_order(&mut tx, of).await?;
    let changes = sqlx::query_as(changes_of_booking!(micros)).bind(of.0);
    let changes: Vec<ChangedRow> = changes.fetch_all(&mut *tx).await?;
    let moves = sqlx::query_as(moves_of_booking!(micros)).bind(of.0);
    let moves: Vec<MoveRow> = moves.fetch_all(&mut *tx).await?;
    let messages = sqlx::query_as(ended_messages!(micros)).bind(of.0);
    let messages: Vec<EndedRow> = messages.fetch_all(&mut *tx).await?;
    tx.roll_back().await?;
    record.map(|record| history::life(record, changes, moves, messages)).transpose()
}
