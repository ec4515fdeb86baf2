//! When a delivery is sent again.

use crate::domain::DeliveryId;
use chrono::TimeDelta;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The pauses after the first attempt, the second, and so on: three days in all.
const PAUSES: [TimeDelta; 10] = [
    TimeDelta::seconds(5),
    TimeDelta::minutes(1),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(14),
    TimeDelta::hours(20),
    TimeDelta::hours(24),
];

/// How long a webhook fails before it is disabled: as long as one delivery is tried.
pub(super) const DISABLE_AFTER: TimeDelta = TimeDelta::days(3);

/// The pause after this many attempts, up to a tenth longer; `None`: they are used up.
///
/// The share is by the delivery's id, so that deliveries that failed together do not come back together.
pub(super) fn pause_after(delivery: DeliveryId, attempts: i32) -> Option<TimeDelta> {
    let pause = *PAUSES.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    let mut hasher = DefaultHasher::new();
    (delivery, attempts).hash(&mut hasher);
    let share = i64::try_from(hasher.finish() % 101).unwrap_or_default();
    Some(pause + TimeDelta::milliseconds(pause.num_milliseconds() / 1_000 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_over_three_days_and_then_used_up() {
        let all: TimeDelta = (1..=10).filter_map(|n| pause_after(DeliveryId(7), n)).sum();
        assert!((DISABLE_AFTER..TimeDelta::hours(84)).contains(&all), "{all}");
        assert_eq!(pause_after(DeliveryId(7), 11), None);
        for id in 0..1_000 {
            let first = pause_after(DeliveryId(id), 1).expect("a pause");
            let range = TimeDelta::milliseconds(5_000)..=TimeDelta::milliseconds(5_500);
            assert!(range.contains(&first), "{first}");
        }
        assert_ne!(pause_after(DeliveryId(1), 2), pause_after(DeliveryId(2), 2));
    }
}
