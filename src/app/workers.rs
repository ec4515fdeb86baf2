//! The workers of a process: loops that run until the stop. If one panics, the process stops.

use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Panicked, Part};
use std::future::Future;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Stop signals, in the order of the stop.
#[derive(Default)]
pub(super) struct Stops {
    /// Stops what brings work in: the sweeper, and the payment worker's intake of requests.
    pub(super) intake: CancellationToken,
    /// Stops settlement, which consumes what the payment worker publishes.
    pub(super) settlement: CancellationToken,
    /// Stops the relay.
    pub(super) relay: CancellationToken,
}

/// Runs workers until the stop.
pub(super) struct Workers {
    stops: Stops,
    metrics: Metrics,
    running: Tasks,
    draining: Tasks,
    /// The first worker that panicked.
    panicked: watch::Sender<Option<&'static str>>,
}

impl Workers {
    pub(super) fn new(metrics: Metrics, tasks: &Tasks) -> Self {
        let panicked = watch::Sender::new(None);
        let (running, draining) = (tasks.another_group(), tasks.another_group());
        Self { stops: Stops::default(), metrics, running, draining, panicked }
    }

    /// The stop signals.
    pub(super) const fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Runs a worker until `stop`, which drops it.
    pub(super) fn spawn(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(&self.running, name, stop, work);
    }

    /// Runs a worker that ends by itself after the intake has stopped. If it has not ended when the relay
    /// stops, it is dropped.
    pub(super) fn spawn_draining(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_in(&self.draining, name, &self.stops.relay, work);
    }

    /// A panic is a bug and may leave memory in any state, so the worker is not restarted beside the
    /// others. The process stops in order and exits with an error; its supervisor restarts it, and it
    /// continues from the rows, as after a crash.
    fn spawn_in(
        &self,
        tasks: &Tasks,
        name: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stop, panicked) = (stop.clone(), self.panicked.clone());
        let metrics = self.metrics.clone();
        tasks.spawn(async move {
            let ended = tokio::select! {
                biased;
                ended = metrics.catch(Part::Worker, work) => ended,
                () = stop.cancelled() => return,
            };
            if let Err(Panicked) = ended {
                error!(worker = name, "a worker panicked");
                panicked.send_if_modified(|first| first.replace(name).is_none());
            }
        });
    }

    /// Resolves to the name of the first worker that panics.
    pub(super) fn panicked(&self) -> impl Future<Output = &'static str> + Send + 'static {
        let mut panicked = self.panicked.subscribe();
        async move {
            match panicked.wait_for(Option::is_some).await.map(|name| *name) {
                Ok(Some(name)) => name,
                // The workers are gone, so none can panic.
                _ => std::future::pending().await,
            }
        }
    }

    /// Waits for the workers that end by themselves.
    pub(super) async fn drained(&self) {
        self.draining.ended().await;
    }

    /// Waits for all workers to end.
    pub(super) async fn wait(&self) {
        self.drained().await;
        self.running.ended().await;
    }
}
