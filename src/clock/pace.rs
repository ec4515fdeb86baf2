//! A minimum interval between the turns of a worker.

use std::time::Duration;
use tokio::time::Instant;

/// Starts turns at least `between` apart.
///
/// An idle worker starts at once. Under load each turn finds more work, which shares the turn's fixed
/// cost. `tokio::time::interval` would not do: it tolerates delays of up to 5 ms, more than the pause.
#[derive(Debug)]
pub struct Pace {
    between: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// The pace of an idle worker.
    pub fn of(between: Duration) -> Self {
        Self { between, last: None }
    }

    /// Waits until the next turn may begin.
    pub async fn turn(&mut self) {
        if let Some(last) = self.last {
            tokio::time::sleep_until(last + self.between).await;
        }
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn an_idle_worker_starts_at_once_and_a_busy_one_keeps_the_interval() {
        let mut slow = Pace::of(Duration::from_secs(3600));
        assert!(slow.turn().now_or_never().is_some());
        assert!(slow.turn().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(3599)).await;
        assert!(slow.turn().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(slow.turn().now_or_never().is_some());
    }
}
