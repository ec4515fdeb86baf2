//! What every search asks for: two cities and a day.

use crate::domain::Invalid;
use chrono::NaiveDate;

/// Checks source and destination, whose route key is `route`. `at` is the pointer of their object.
pub(super) fn check_cities(
    at: &str,
    [source, destination]: [&str; 2],
    route: &str,
    invalid: &mut Invalid,
) {
    for (name, city) in [("source", source), ("destination", destination)] {
        if city.chars().count() > 100 || city.chars().any(char::is_control) {
            let rule = "must be at most 100 characters, without control characters";
            invalid.add(format!("{at}/{name}"), rule);
        }
    }
    if halves(route).is_some_and(|(source, destination)| source == destination) {
        invalid.add(format!("{at}/destination"), "must differ from source");
    }
}

/// The keys of a route's cities; a `#` inside a city is encoded in its key.
pub(super) fn halves(route: &str) -> Option<(&str, &str)> {
    route.split_once('#')
}

/// Reads a day in the form YYYY-MM-DD and no other.
pub(super) fn day(text: &str, pointer: &str, unreadable: &mut Invalid) -> Option<NaiveDate> {
    let is_form = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    // By hand: chrono's format parser would take as long as the look-up of a cached answer.
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let date = match (is_form, part(0, 4), part(5, 7), part(8, 10)) {
        (true, Some(year), Some(month), Some(day)) => {
            NaiveDate::from_ymd_opt(year as i32, month, day)
        }
        _ => None,
    };
    if date.is_none() {
        unreadable.add(pointer, "must be a day of the calendar, as YYYY-MM-DD");
    }
    date
}
