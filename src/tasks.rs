//! The tasks of a process: awaited at its stop, or killed together where a crash is simulated.

use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::TaskTracker;

/// Spawns tasks and waits for them. A clone spawns into the same group.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// `None` in a process that ends by itself: it needs no list of its tasks.
    switch: Option<Switch>,
}

/// Kills all tasks of a simulated process.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<Mutex<Killable>>);

#[derive(Debug, Default)]
struct Killable {
    is_dead: bool,
    running: Vec<AbortHandle>,
    /// Number of handles at which finished tasks are dropped from the list.
    prune_at: usize,
}

impl Tasks {
    /// Tasks that the switch kills.
    pub fn killed_by(switch: &Switch) -> Self {
        Self { tracker: TaskTracker::new(), switch: Some(switch.clone()) }
    }

    /// Another group of tasks of the same process, to be awaited by itself.
    #[must_use]
    pub fn another_group(&self) -> Self {
        Self { tracker: TaskTracker::new(), switch: self.switch.clone() }
    }

    /// Runs a task. In a killed process it never runs.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let handle = self.tracker.spawn(task);
        if let Some(switch) = &self.switch {
            switch.add(handle.abort_handle());
        }
        handle
    }

    /// Number of running tasks.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every task has ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Switch {
    /// Kills the tasks, as a crash of their process would: nothing of them runs any more, but their
    /// destructors. Tasks that these spawn are killed too.
    pub fn kill(&self) {
        let running = {
            let mut killable = self.0.lock();
            killable.is_dead = true;
            std::mem::take(&mut killable.running)
        };
        running.iter().for_each(AbortHandle::abort);
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.0.lock().is_dead
    }

    fn add(&self, task: AbortHandle) {
        let mut killable = self.0.lock();
        if killable.is_dead {
            return task.abort();
        }
        if killable.running.len() >= killable.prune_at {
            killable.running.retain(|task| !task.is_finished());
            killable.prune_at = (killable.running.len() * 2).max(64);
        }
        killable.running.push(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn a_killed_process_ends_all_its_tasks_and_starts_none() {
        let switch = Switch::default();
        let (tasks, others) = (Tasks::killed_by(&switch), Tasks::default());
        let groups = [tasks.clone(), tasks.another_group()];
        let running: Vec<_> = groups
            .iter()
            .flat_map(|tasks| (0..100).map(|_| tasks.spawn(pending::<()>())))
            .collect();
        let other = others.spawn(async { "runs" });
        switch.kill();
        for task in running.into_iter().chain([tasks.spawn(async {})]) {
            assert!(task.await.expect_err("killed").is_cancelled());
        }
        for group in groups {
            group.ended().await;
            assert!(group.is_empty());
        }
        assert_eq!(other.await.expect("another process"), "runs");
    }
}
