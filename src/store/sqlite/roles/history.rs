//! Histories: of bookings, of their passengers' data, of flights.

use super::bookings::read_order;
use crate::domain::{BookingId, BookingLife, Disruption, FlightId};
use crate::store::StoreError;
use crate::store::roles::history::{HeldChange, HeldChangeRow, History};
use crate::store::rows::history::{
    self, ChangedRow, DisruptionRow, MoveRow, changes_of_booking, disruption_of_flight,
    moves_of_booking,
};
use crate::store::rows::messages::{EndedRow, ended_messages};
use crate::store::rows::sql::json;
use crate::store::sqlite::SqliteStore;
use async_trait::async_trait;

macro_rules! as_is {
    ($column:literal) => {
        $column
    };
}

const PASSENGER_CHANGES: &str = "
SELECT booking_id, place, was, changed_at FROM passenger_changes
 WHERE booking_id IN (SELECT value FROM json_each(?1)) ORDER BY booking_id, version";

#[async_trait]
impl History for SqliteStore {
    async fn life(&self, of: BookingId) -> Result<Option<BookingLife>, StoreError> {
        // One snapshot.
        let mut tx = self.reader.begin().await?;
        let record = read_order(&mut tx, of).await?;
        let changes = sqlx::query_as(changes_of_booking!(as_is)).bind(of.0);
        let changes: Vec<ChangedRow> = changes.fetch_all(&mut *tx).await?;
        let moves = sqlx::query_as(moves_of_booking!(as_is)).bind(of.0);
        let moves: Vec<MoveRow> = moves.fetch_all(&mut *tx).await?;
        let messages = sqlx::query_as(ended_messages!(as_is)).bind(of.0);
        let messages: Vec<EndedRow> = messages.fetch_all(&mut *tx).await?;
        tx.rollback().await?;
        record.map(|record| history::life(record, changes, moves, messages)).transpose()
    }

    async fn disruption(&self, flight: FlightId) -> Result<Option<Disruption>, StoreError> {
        let query = sqlx::query_as(disruption_of_flight!(as_is)).bind(flight.0);
        let row: Option<DisruptionRow> = query.fetch_optional(&self.reader).await?;
        row.map(|row| history::disruption(flight, row)).transpose()
    }

    async fn passenger_changes(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<HeldChange>, StoreError> {
        let query = sqlx::query_as(PASSENGER_CHANGES).bind(json(&bookings));
        let rows: Vec<HeldChangeRow> = query.fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
