//! The loops of a process: they run until the stop, and none of them may be missing unnoticed.

use crate::telemetry::{Metrics, Panicked, Part};
use std::future::Future;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// Loops that run until the stop.
pub(super) struct Workers {
    stopping: CancellationToken,
    metrics: Metrics,
    tracker: TaskTracker,
    /// The first that panicked.
    panicked: watch::Sender<Option<&'static str>>,
}

impl Workers {
    pub(super) fn until(stopping: CancellationToken, metrics: Metrics) -> Self {
        let panicked = watch::Sender::new(None);
        Self { stopping, metrics, tracker: TaskTracker::new(), panicked }
    }

    /// Runs a loop until the stop.
    ///
    /// One that panics is a bug, and what it left in memory may be anything: it is not started
    /// again beside the others. The process stops in order and ends with an error, and whoever runs
    /// it starts it anew from the rows, as after a crash.
    pub(super) fn spawn(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stopping, panicked) = (self.stopping.clone(), self.panicked.clone());
        let metrics = self.metrics.clone();
        self.tracker.spawn(async move {
            let ended = tokio::select! {
                ended = metrics.catch(Part::Worker, work) => ended,
                () = stopping.cancelled() => return,
            };
            if let Err(Panicked) = ended {
                error!(worker = name, "a worker panicked");
                panicked.send_if_modified(|first| first.replace(name).is_none());
            }
        });
    }

    /// Waits until one has panicked; gives its name.
    pub(super) fn panicked(&self) -> impl Future<Output = &'static str> + Send + 'static {
        let mut panicked = self.panicked.subscribe();
        async move {
            match panicked.wait_for(Option::is_some).await.map(|name| *name) {
                Ok(Some(name)) => name,
                // The workers are gone, and nobody stops for them any more.
                _ => std::future::pending().await,
            }
        }
    }

    /// Waits until all have noticed the stop.
    pub(super) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
