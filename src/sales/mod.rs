//! Counts each flight's sales by day: reads `flight-bookings` in a consumer group of its own and adds what is not
//! counted yet to the store.
//!
//! The bus delivers at least once. The flight's version names a movement of its seats, and the store keeps which are
//! counted, so repeats change nothing.

use crate::bus::{Bus, Interrupted, OUTAGE_PAUSE};
use crate::clock::pace::Pace;
use crate::domain::{ScheduleZone, SeatsMoved};
use crate::messages::{Message, Topic, parse_seats_moved};
use crate::store::{Sales, StoreError};
use crate::telemetry::{Metrics, Progress};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Movements counted at once.
const BATCH_SIZE_MAX: usize = 16_384;

/// Counts sales.
pub struct SalesCounter {
    /// Delivers the movements.
    pub bus: Arc<dyn Bus>,
    /// Keeps the sales.
    pub store: Arc<dyn Sales>,
    /// The consumer group (`KAFKA_SALES_GROUP_ID`).
    pub group: String,
    /// Minimum time between two turns. Under load a turn finds more, which costs the database less for each movement.
    pub turn: Duration,
    /// The time zone of days.
    pub zone: ScheduleZone,
    /// Counts messages.
    pub metrics: Metrics,
    /// Records each batch.
    pub progress: Progress,
}

impl SalesCounter {
    /// Runs until dropped.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "counting sales failed, retrying");
            tokio::time::sleep(OUTAGE_PAUSE).await;
        }
    }

    async fn work(&self) -> Result<Infallible, Interrupted> {
        let mut movements = self.bus.consume(Topic::FlightBookings, &self.group).await?;
        let mut pace = Pace::of(self.turn);
        loop {
            let messages = movements.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::FlightBookings, &self.group, messages.len());
            self.count(&messages).await?;
            movements.commit().await?;
            self.progress.step();
            // After a full batch more are waiting.
            if messages.len() < BATCH_SIZE_MAX {
                pace.turn().await;
            }
        }
    }

    /// Counts the movements that these messages tell of. What is unreadable or wrongly signed is not ours.
    pub async fn count(&self, messages: &[Message]) -> Result<(), StoreError> {
        let read = |message: &Message| match parse_seats_moved(message) {
            Ok(moved) => Some(moved),
            Err(error) => {
                debug!(%error, "a movement of seats is not counted");
                None
            }
        };
        let moved: Vec<SeatsMoved> = messages.iter().filter_map(read).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let day = |moved: SeatsMoved| (moved, self.zone.day_of(moved.at));
        self.store.count_sales(&moved.into_iter().map(day).collect::<Vec<_>>()).await
    }
}
