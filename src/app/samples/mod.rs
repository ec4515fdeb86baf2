//! Sample flights: they fill an empty database, and are added as days pass while it has no others.

pub(crate) mod flights;

use super::{App, Ports};
use crate::clock::Clock;
use crate::domain::Currency;
use crate::store::{Catalogue, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How often a running service checks whether the timetable reaches another day.
const INTERVAL: Duration = Duration::from_hours(1);

impl App {
    /// Fills an empty database with the sample flights. Adds missing days to a database that has only
    /// sample flights. Leaves any other database unchanged.
    pub async fn add_sample_flights(&self) -> Result<(), StoreError> {
        let samples = self.samples();
        if samples.store.is_empty().await? {
            let now = samples.clock.now();
            let flights = flights::flights(now, samples.currency);
            samples.store.import_flights(&flights, samples.currency, now).await?;
            return Ok(());
        }
        samples.step().await.map(|_| ())
    }

    pub(crate) fn samples(&self) -> Samples {
        let Ports { store, clock, .. } = self.shared.ports.clone();
        Samples { store, clock, currency: self.config.currency }
    }
}

/// Adds sample flights.
pub(crate) struct Samples {
    store: Arc<dyn Catalogue>,
    clock: Arc<dyn Clock>,
    currency: Currency,
}

impl Samples {
    /// Adds sample flights as days pass, until the database has other flights too.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => debug!(%error, "no sample flights were added, trying again"),
            }
        }
    }

    /// Adds the sample flights of the days that the timetable now reaches. Returns `false`, and adds
    /// nothing, if the database has other flights.
    async fn step(&self) -> Result<bool, StoreError> {
        let found = self.store.numbered(&flights::numbers()).await?;
        let Some(added_at) = found.newest.filter(|_| found.others <= flights::UNNUMBERED as i64)
        else {
            return Ok(false);
        };
        let now = self.clock.now();
        let further = flights::further_flights(added_at, now, self.currency);
        if !further.is_empty() {
            self.store.import_flights(&further, self.currency, now).await?;
        }
        Ok(true)
    }
}
