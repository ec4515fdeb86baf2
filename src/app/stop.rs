//! The stop: no new work is accepted, running work is finished and published.

use super::App;
use std::time::Duration;
use tracing::{info, warn};

/// Time limit for gateway calls, batches and workers to finish.
const WORK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for the collector of traces.
const TRACES_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a stop waits for SQLite to fold its log into the file. A process that ends earlier loses nothing: the
/// next start reads the log.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl App {
    /// Stops in the order in which work flows, so that each part can hand on its work: the intake of
    /// payment requests stops, the gateway's answers are published, settlement ends, then the batches,
    /// and the relay last. Work that takes longer than five seconds is durable, and the next start
    /// repeats it. An embedded database is closed at the end, and is one file then.
    pub async fn stop(self) {
        self.stopping.cancel();
        let stops = self.workers.stops();
        stops.intake.cancel();
        let finished = async {
            self.workers.drained().await;
            stops.settlement.cancel();
            self.shared.ports.tasks.ended().await;
            stops.relay.cancel();
            self.workers.wait().await;
        };
        if tokio::time::timeout(WORK_TIMEOUT, finished).await.is_err() {
            warn!("some work did not finish; the next start continues it");
            stops.settlement.cancel();
            stops.relay.cancel();
        }
        tokio::join!(self.shared.ports.tracing.stop(TRACES_TIMEOUT), self.close());
        info!("stopped");
    }

    async fn close(&self) {
        let Some(store) = &self.embedded else { return };
        if tokio::time::timeout(CLOSE_TIMEOUT, store.close()).await.is_err() {
            warn!("the database is not closed yet; the next start reads its log");
        }
    }
}
