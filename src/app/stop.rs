//! The end of a process: work is no longer taken in, what is under way is finished and told.

use super::{App, TRACES_TIMEOUT};
use std::time::Duration;
use tracing::{info, warn};

/// How long gateway calls, batches and workers have to finish.
const WORK_TIMEOUT: Duration = Duration::from_secs(5);

impl App {
    /// Stops in the order in which work flows, so that each part can hand on what it has: no more
    /// requests for payment are taken, the gateway's answers are published, settlement ends, the
    /// batches, and the relay last. What is not finished in five seconds is durable, and asked for again.
    pub async fn stop(self) {
        self.stopping.cancel();
        let stops = self.workers.stops();
        stops.intake.cancel();
        let finished = async {
            self.workers.drained().await;
            stops.settlement.cancel();
            self.tasks.close();
            self.tasks.wait().await;
            stops.relay.cancel();
            self.workers.wait().await;
        };
        if tokio::time::timeout(WORK_TIMEOUT, finished).await.is_err() {
            warn!("some work did not finish; the next start goes on with it");
            stops.settlement.cancel();
            stops.relay.cancel();
        }
        self.tracing.stop(TRACES_TIMEOUT).await;
        info!("stopped");
    }
}
