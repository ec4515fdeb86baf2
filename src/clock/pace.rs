//! The pace of a worker that takes turns.

use std::time::Duration;
use tokio::time::Instant;

/// Turns that begin at least so long after one another.
///
/// Who was at rest begins at once; under load each turn finds more to do, and what every turn costs
/// is shared by more.
#[derive(Debug)]
pub struct Pace {
    between: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// The pace of a worker at rest.
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

    #[tokio::test]
    async fn who_was_at_rest_begins_at_once_and_who_was_not_keeps_the_pace() {
        let mut slow = Pace::of(Duration::from_secs(3600));
        assert!(slow.turn().now_or_never().is_some());
        assert!(slow.turn().now_or_never().is_none());
        let mut quick = Pace::of(Duration::from_millis(1));
        quick.turn().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(quick.turn().now_or_never().is_some());
    }
}
