//! A reader that looks at everything again and again, and stops the test at the first moment that shows a part.

use super::{Rows, Snapshot};
use crate::support::TestDatabase;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The pause between two looks, so that the reader leaves the processors to the service.
const PAUSE: Duration = Duration::from_millis(40);

pub struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(usize, Snapshot)>,
}

impl Reader {
    pub async fn start(database: &TestDatabase) -> Self {
        let mut rows = Rows::open(database).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut looks = 0;
            loop {
                let is_last = stopped.load(Ordering::Relaxed);
                let snapshot = rows.snapshot().await;
                looks += 1;
                let broken = snapshot.broken();
                assert!(broken.is_empty(), "look {looks}: {broken:#?}");
                if is_last {
                    return (looks, snapshot);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { stop, task }
    }

    /// Looks for the last time; gives the number of looks, and what the last one saw.
    pub async fn stop(self) -> (usize, Snapshot) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every look saw whole orders and all money")
    }
}
