//! What every search asks for: two cities, a day and seats.

use crate::domain::{Invalid, SeatCount, city_key, route_key};
use crate::http::wire::query::Query;
use chrono::NaiveDate;

/// The source and the destination that a query names; empty where it names none.
pub(super) fn cities<'q>(query: &'q Query<'_>) -> [&'q str; 2] {
    ["source", "destination"].map(|name| query.get(name).unwrap_or_default())
}

/// The key of the route from source to destination. Notes the rules that they break; `at` is the pointer of
/// their object.
pub(super) fn route(at: &str, [source, destination]: [&str; 2], invalid: &mut Invalid) -> String {
    let route = route_key(source, destination);
    check_city(at, "source", source, invalid);
    check_city(at, "destination", destination, invalid);
    if halves(&route).is_some_and(|(source, destination)| source == destination) {
        invalid.add(format!("{at}/destination"), DIFFERS);
    }
    route
}

/// The rule of a destination.
const DIFFERS: &str = "must differ from source";

/// The keys of the source and the destination that a query names, if it names them. Notes the rules that they
/// break. A blank one counts as missing.
pub(super) fn asked_cities(query: &Query<'_>, invalid: &mut Invalid) -> [Option<String>; 2] {
    let cities = ["source", "destination"].map(|name| {
        let city = query.get(name).filter(|city| !city.trim().is_empty())?;
        check_city("", name, city, invalid);
        Some(city_key(city))
    });
    if let [Some(source), Some(destination)] = &cities
        && source == destination
    {
        invalid.add("/destination", DIFFERS);
    }
    cities
}

fn check_city(at: &str, name: &str, city: &str, invalid: &mut Invalid) {
    if city.chars().count() > 100 || city.chars().any(char::is_control) {
        let rule = "must be at most 100 characters, without control characters";
        invalid.add(format!("{at}/{name}"), rule);
    }
}

/// Checks the seats that a flight must have free.
pub(super) fn check_seats(seats: SeatCount, invalid: &mut Invalid) {
    if seats < 1 {
        invalid.add("/seats", "must be at least 1");
    }
}

/// The day that a query names, if it is one. A blank one counts as missing.
pub(super) fn asked_day(query: &Query<'_>, unreadable: &mut Invalid) -> Option<NaiveDate> {
    let date = query.get("date").filter(|text| !text.trim().is_empty());
    date.and_then(|text| day(text, "/date", unreadable))
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
