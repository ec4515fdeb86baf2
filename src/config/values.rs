//! Parsers of values. Each error is the rule that the text breaks: "must be …".

use crate::domain::{Currency, ScheduleZone, parse_duration};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration of a setting: a year, far from any overflow.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// The shortest `WEBHOOK_RETENTION`.
const DELIVERIES_KEPT_MIN: Duration = Duration::from_hours(4 * 24);

/// The longest `PASSENGER_RETENTION` and `WEBHOOK_RETENTION`.
const RETENTION_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// A whole number in a range.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            format!("must be a whole number from {} to {}", range.start(), range.end())
        })
    }
}

/// `None` for an empty text.
pub(super) fn optional<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// `None` for `never`, in any case.
pub(super) fn unless_never<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| {
        if text.eq_ignore_ascii_case("never") {
            return Ok(None);
        }
        parse(text).map(Some).map_err(|rule| rule.replacen("must be ", "must be never or ", 1))
    }
}

/// A duration in Go's notation, with days added: `15s`, `1h30m`, `1.5h`, `90d`, `100ms`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "must be a duration such as 100ms, 15s, 5m or 1h30m, up to 8760h".into())
}

/// A time between two flights, up to a day.
pub(super) fn connection(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_hours(24);
    duration(text).and_then(|time| {
        if time > longest { Err("must be at most 24h".to_owned()) } else { Ok(time) }
    })
}

/// A duration above zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be a duration above zero, such as 15s".into()),
        duration => Ok(duration),
    }
}

/// How long deliveries are kept: longer than one is tried, and up to ten years.
pub(super) fn delivery_retention(text: &str) -> Result<Duration, String> {
    let kept_for = parse_duration(text)
        .filter(|duration| (DELIVERIES_KEPT_MIN..=RETENTION_MAX).contains(duration));
    kept_for.ok_or_else(|| "must be a duration such as 30d, from 4d to 3650d".into())
}

/// How long after departure passengers are kept, up to ten years; `None` for an empty text and for `never`.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let kept_for = parse_duration(text).filter(|duration| *duration <= RETENTION_MAX);
    kept_for.map(Some).ok_or_else(|| "must be a duration such as 90d or 36h, up to 3650d".into())
}

/// An IP address, or `localhost`.
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| "must be an IP address such as 127.0.0.1 or 0.0.0.0".into())
}

/// `on` or `off`.
pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// `true` or `false`.
pub(super) fn true_or_false(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".into())
}

/// An ISO 4217 currency.
pub(super) fn currency(text: &str) -> Result<Currency, String> {
    let rule = "must be an ISO 4217 currency: three capital letters, such as INR";
    Currency::money(text).ok_or_else(|| rule.to_owned())
}

/// An IANA time zone.
pub(super) fn zone(text: &str) -> Result<ScheduleZone, String> {
    text.parse()
        .map(ScheduleZone)
        .map_err(|_| "must be an IANA time zone such as UTC or Asia/Kolkata".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_gos_notation_with_days_added() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("100ms", 100),
            ("15s", 15_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d12h", 129_600_000),
            ("1.5h", 5_400_000),
            ("1m0.5s", 60_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "15", "s", "-1s", "1 s", "1h30", "1..5s", "9999999h", "1e3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn passengers_are_kept_forever_or_up_to_ten_years() {
        for text in ["", "never"] {
            assert_eq!(retention(text), Ok(None), "{text}");
        }
        assert_eq!(retention("90d"), Ok(Some(Duration::from_hours(90 * 24))));
        assert_eq!(retention("0"), Ok(Some(Duration::ZERO)));
        for text in ["3651d", "90", "-1d", "off"] {
            assert!(retention(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        assert_eq!(whole(1..=9)("9"), Ok(9));
        assert_eq!(whole(1..=9)("10"), Err("must be a whole number from 1 to 9".into()));
        assert!(whole(0..=u16::MAX)("65536").is_err());
    }

    #[test]
    fn hosts_are_addresses_and_zones_are_iana_names() {
        assert_eq!(host("localhost"), Ok(Ipv4Addr::LOCALHOST.into()));
        assert!(host("::").is_ok() && host("example.com").is_err());
        assert!(zone("Asia/Kolkata").is_ok() && zone("IST-5:30").is_err());
    }
}
