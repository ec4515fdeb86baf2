//! The loops of a process: they run until the stop, and none of them may be missing unnoticed.

use crate::error::words_of_panic;
use futures::FutureExt as _;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// Loops that run until the stop.
pub(super) struct Workers {
    stopping: CancellationToken,
    tracker: TaskTracker,
    /// The first that panicked.
    panicked: watch::Sender<Option<&'static str>>,
}

impl Workers {
    pub(super) fn until(stopping: CancellationToken) -> Self {
        Self { stopping, tracker: TaskTracker::new(), panicked: watch::Sender::new(None) }
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
        let work = AssertUnwindSafe(work).catch_unwind();
        self.tracker.spawn(async move {
            let ended = tokio::select! {
                ended = work => ended,
                () = stopping.cancelled() => return,
            };
            if let Err(cause) = ended {
                error!(worker = name, cause = words_of_panic(&*cause), "a worker panicked");
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
