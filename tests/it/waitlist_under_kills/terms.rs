//! The waiting list's settings: seats gather for a moment, so that many parties have their turns.

use airline_booking::rules::waiting::Terms;
use chrono::TimeDelta;

pub const TERMS: Terms = Terms {
    overtakes_max: 3,
    gather_for: TimeDelta::seconds(1),
    release_before: TimeDelta::hours(24),
};

/// The same, for a replica.
pub const SETTINGS: [(&str, &str); 3] = [
    ("WAITLIST_MAX_OVERTAKES", "3"),
    ("WAITLIST_GATHER_FOR", "1s"),
    ("WAITLIST_RELEASE_BEFORE", "24h"),
];
