//! The loops of a process: they run until the stop, and none of them may be missing unnoticed.

use crate::telemetry::{Metrics, Panicked, Part};
use std::future::Future;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// When loops stop: what brings work in first, and what others wait for last.
#[derive(Default)]
pub(super) struct Stops {
    /// Of what brings work in: the sweeper, the payment worker's look for requests.
    pub(super) intake: CancellationToken,
    /// Of settlement, which takes what the payment worker publishes.
    pub(super) settlement: CancellationToken,
    /// Of the relay.
    pub(super) relay: CancellationToken,
}

/// Loops that run until the stop.
pub(super) struct Workers {
    stops: Stops,
    metrics: Metrics,
    tracker: TaskTracker,
    draining: TaskTracker,
    /// The first that panicked.
    panicked: watch::Sender<Option<&'static str>>,
}

impl Workers {
    pub(super) fn counted_by(metrics: Metrics) -> Self {
        let panicked = watch::Sender::new(None);
        let (tracker, draining) = (TaskTracker::new(), TaskTracker::new());
        Self { stops: Stops::default(), metrics, tracker, draining, panicked }
    }

    /// When they stop.
    pub(super) const fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Runs a loop until `stop` drops it.
    pub(super) fn spawn(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(&self.tracker, name, stop, work);
    }

    /// Runs a loop that ends by itself once the intake has stopped; what is left of it then is
    /// dropped with the relay.
    pub(super) fn spawn_draining(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(&self.draining, name, &self.stops.relay, work);
    }

    /// One that panics is a bug, and what it left in memory may be anything: it is not started
    /// again beside the others. The process stops in order and ends with an error, and whoever runs
    /// it starts it anew from the rows, as after a crash.
    fn spawn_in(
        &self,
        tracker: &TaskTracker,
        name: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stop, panicked) = (stop.clone(), self.panicked.clone());
        let metrics = self.metrics.clone();
        tracker.spawn(async move {
            let ended = tokio::select! {
                ended = metrics.catch(Part::Worker, work) => ended,
                () = stop.cancelled() => return,
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

    /// Waits until those that end by themselves have ended.
    pub(super) async fn drained(&self) {
        self.draining.close();
        self.draining.wait().await;
    }

    /// Waits until all have noticed the stop.
    pub(super) async fn wait(&self) {
        self.drained().await;
        self.tracker.close();
        self.tracker.wait().await;
    }
}
