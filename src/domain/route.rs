//! Cities, routes and schedule days: the key of a search.

use super::Timestamp;
use super::city::fold_into;
use chrono::{Days, NaiveDate, NaiveTime, TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A city or airport as a flight names it: trimmed, 1 to 100 characters.
pub type City = Arc<str>;

/// The key of a route, the same however its cities are written: see [`super::city`].
///
/// Stored and indexed with each flight, so that all stores match routes by the same rule.
pub fn route_key(source: &str, destination: &str) -> String {
    let mut key = String::with_capacity(source.len() + destination.len() + 1);
    fold_into(&mut key, source);
    key.push('#');
    fold_into(&mut key, destination);
    key
}

/// The key of a route from the keys of its cities ([`super::city_key`]).
pub fn route_key_of(source: &str, destination: &str) -> String {
    format!("{source}#{destination}")
}

/// A route on one schedule day, the subject of one search and of one cached answer; or a day's
/// [timetable](DayKey::timetable).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayKey {
    /// The route, as by [`route_key`].
    pub route: String,
    /// The day, in the schedule's time zone.
    pub date: NaiveDate,
}

impl DayKey {
    /// The key of the timetable of a day: every route's times and prices, without seats. No route has it,
    /// since a route's key holds a `#`.
    pub const fn timetable(date: NaiveDate) -> Self {
        Self { route: String::new(), date }
    }

    /// The keys whose answers a new flight of this route and day invalidates.
    #[must_use]
    pub fn with_timetable(&self) -> [Self; 2] {
        [self.clone(), Self::timetable(self.date)]
    }
}

impl fmt::Display for DayKey {
    /// `source#destination#date`, the key in the cache.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.route, self.date)
    }
}

/// Cached answers that are no longer valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalidation {
    /// Those of these routes (as by [`route_key`]) on these days.
    Days(Vec<(String, NaiveDate)>),
    /// All.
    All,
}

/// The time zone of schedule days (`SCHEDULE_TIMEZONE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleZone(pub chrono_tz::Tz);

impl ScheduleZone {
    /// The day on which an instant falls.
    pub fn day_of(self, instant: Timestamp) -> NaiveDate {
        instant.with_timezone(&self.0).date_naive()
    }

    /// The first instants of the day and of the next: 23 to 25 hours apart when clocks change.
    pub fn bounds(self, date: NaiveDate) -> (Timestamp, Timestamp) {
        let next = date.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        (self.start_of(date), self.start_of(next))
    }

    /// Midnight, or the first hour that exists if the clock skips it.
    fn start_of(self, date: NaiveDate) -> Timestamp {
        (0..24)
            .filter_map(|hour| NaiveTime::from_hms_opt(hour, 0, 0))
            .find_map(|time| self.0.from_local_datetime(&date.and_time(time)).earliest())
            .map_or_else(|| date.and_time(NaiveTime::MIN).and_utc(), |local| local.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::city_key;

    #[test]
    fn a_route_matches_in_any_case_and_with_outer_spaces() {
        assert_eq!(route_key(" DELHI ", "mumbai"), route_key("Delhi", "Mumbai"));
        assert_ne!(route_key("a#b", "c"), route_key("a", "b#c"));
        let keys = [" A#B ", "Ç"].map(city_key);
        assert_eq!(route_key_of(&keys[0], &keys[1]), route_key(" A#B ", "Ç"));
    }

    #[test]
    fn a_day_has_the_length_that_its_time_zone_gives_it() {
        let new_york = ScheduleZone(chrono_tz::America::New_York);
        let spring = NaiveDate::from_ymd_opt(2013, 3, 10).expect("a date");
        let (from, until) = new_york.bounds(spring);
        assert_eq!((until - from).num_hours(), 23);
        assert_eq!(new_york.day_of(from), spring);
        assert_ne!(new_york.day_of(until), spring);
    }
}
