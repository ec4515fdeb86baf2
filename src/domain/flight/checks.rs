//! Checks of a flight's fields, for new flights and for changes.

use crate::domain::city::city_key;
use crate::domain::{City, Invalid, Timestamp};
use chrono::Datelike;

/// The column is a `VARCHAR(100)`.
const CITY_CHARS_MAX: usize = 100;

pub(super) fn check_city(invalid: &mut Invalid, pointer: &str, city: &str) -> City {
    let city = city.trim();
    if city.is_empty() || city.chars().count() > CITY_CHARS_MAX {
        invalid.add(pointer, format!("must be 1 to {CITY_CHARS_MAX} characters"));
    } else if city.chars().any(char::is_control) {
        invalid.add(pointer, "must not hold control characters");
    } else if city_key(city).is_empty() {
        invalid.add(pointer, "must hold a character that can be seen");
    }
    city.into()
}

pub(super) fn check_route(invalid: &mut Invalid, source: &str, destination: &str) {
    if !source.is_empty() && city_key(source) == city_key(destination) {
        invalid.add("/destination", "must differ from source");
    }
}

pub(super) fn check_times(
    invalid: &mut Invalid,
    departs_at: Timestamp,
    arrives_at: Option<Timestamp>,
) {
    let in_range = |instant: Timestamp| (1970..=9999).contains(&instant.year());
    if !in_range(departs_at) {
        invalid.add("/timestamp", "must be in the years 1970 to 9999");
    }
    if arrives_at.is_some_and(|arrival| !in_range(arrival)) {
        invalid.add("/arrival_timestamp", "must be in the years 1970 to 9999");
    } else if arrives_at.is_some_and(|arrival| arrival <= departs_at) {
        invalid.add("/arrival_timestamp", "must be after timestamp");
    }
}
