//! What a setting's text may be. Errors are the rule in words: "must be …".

use super::{LogFormat, SslMode};
use crate::domain::{Currency, ScheduleZone};
use std::fmt::Display;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest time that a setting can name: a year, far from any overflow.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// The longest time for which passengers may be kept, and erased then.
const RETENTION_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// The embedded database, where none is named.
const SQLITE_FILE: &str = "airline_booking.db";

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

/// `None` for the word `never`.
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

/// A duration in Go's notation, and in days: `15s`, `1h30m`, `1.5h`, `90d`, `100ms`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "must be a duration such as 100ms, 15s, 5m or 1h30m, at most 8760h".into())
}

/// A duration above zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be a duration above zero, such as 15s".into()),
        duration => Ok(duration),
    }
}

/// How long after departure passengers are kept, to ten years; `None` for an empty text and for `never`:
/// they are kept for ever.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let kept_for = parse_duration(text).filter(|duration| *duration <= RETENTION_MAX);
    kept_for.map(Some).ok_or_else(|| "must be a duration such as 90d or 36h, at most 3650d".into())
}

fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    loop {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let part = number.parse::<f64>().ok()? * seconds_of(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

/// An IP address, or `localhost`.
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| "must be an IP address such as 127.0.0.1 or 0.0.0.0".into())
}

/// The file of `sqlite:FILE` or `sqlite://FILE`.
pub(super) fn sqlite_file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Ok(SQLITE_FILE.into());
    }
    let file = text.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match file {
        Some(file) if !file.is_empty() && !file.starts_with(":memory:") => Ok(file.into()),
        _ => Err("must be postgres://…, or sqlite:FILE such as sqlite:airline_booking.db".into()),
    }
}

/// Whether a URL names PostgreSQL.
pub(super) fn is_postgres_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
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
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".into())
}

/// A collector's address, as `http://HOST:PORT`; comes back with the path of traces.
pub(super) fn traces_endpoint(text: &str) -> Result<String, String> {
    const PATH: &str = "/v1/traces";
    let rule = "must be http://HOST:PORT of a collector, without a password; one beside the \
                service, which sends on by TLS where that is needed";
    let rest = text.strip_prefix("http://").ok_or(rule)?.trim_end_matches('/');
    let rest = rest.strip_suffix(PATH).unwrap_or(rest);
    let address = format!("http://{rest}{PATH}");
    let uri: http::Uri = address.parse().map_err(|_| rule)?;
    let authority = uri.authority().ok_or(rule)?;
    let is_address = authority.as_str() == authority.host() || authority.port_u16().is_some();
    let is_plain = !authority.host().is_empty() && !rest.contains(['@', '?', '#']);
    if is_address && is_plain { Ok(address) } else { Err(rule.into()) }
}

/// A share, from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".into())
}

/// As libpq names them.
pub(super) fn ssl_mode(text: &str) -> Result<SslMode, String> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err("must be disable, prefer, require, verify-ca or verify-full".into()),
    })
}

/// As Kafka names them, in lower case.
pub(super) fn security_protocol(text: &str) -> Result<String, String> {
    let known = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    one_of(&known, text.to_ascii_lowercase())
}

/// As Kafka names them.
pub(super) fn sasl_mechanism(text: &str) -> Result<String, String> {
    one_of(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], text.to_ascii_uppercase())
}

fn one_of(known: &[&str], word: String) -> Result<String, String> {
    if known.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(format!("must be one of {}", known.join(", ")))
}

/// A count of replicas, or -1 for the brokers' default.
pub(super) fn replication(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| *number == -1 || (1..=100).contains(number));
    number.ok_or_else(|| "must be -1, or a whole number from 1 to 100".into())
}

/// A currency of ISO 4217.
pub(super) fn currency(text: &str) -> Result<Currency, String> {
    let rule =
        "must be a currency that ISO 4217 lists as money: three capital letters, such as INR";
    Currency::money(text).ok_or_else(|| rule.to_owned())
}

/// An IANA time zone.
pub(super) fn zone(text: &str) -> Result<ScheduleZone, String> {
    text.parse()
        .map(ScheduleZone)
        .map_err(|_| "must be an IANA time zone such as UTC or Asia/Kolkata".into())
}

/// `pretty` or `json`; an empty text goes by where the log is written to.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "" if std::io::stderr().is_terminal() => Ok(LogFormat::Pretty),
        "pretty" => Ok(LogFormat::Pretty),
        "" | "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them_and_in_days() {
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
    fn passengers_are_kept_for_ever_or_for_ten_years_at_most() {
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
    fn a_database_is_a_file() {
        assert_eq!(sqlite_file("sqlite:a/b.db"), Ok("a/b.db".into()));
        assert_eq!(sqlite_file("sqlite:///var/b.db"), Ok("/var/b.db".into()));
        for text in ["sqlite:", "sqlite::memory:", "b.db", "mysql://host/db"] {
            assert!(sqlite_file(text).is_err(), "{text}");
        }
        assert_eq!(sqlite_file(""), Ok(SQLITE_FILE.into()));
        assert!(is_postgres_url("postgresql://host/db") && !is_postgres_url("postgres.db"));
    }

    #[test]
    fn traces_go_to_a_collector_over_http() {
        for text in ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces"] {
            assert_eq!(traces_endpoint(text), Ok("http://h:4318/v1/traces".into()), "{text}");
        }
        assert_eq!(traces_endpoint("http://h/otlp"), Ok("http://h/otlp/v1/traces".into()));
        for text in ["h:4318", "https://h", "http://", "http://u:p@h", "http://h:x", "http://h?a"] {
            assert!(traces_endpoint(text).is_err(), "{text}");
        }
        assert!(ratio("0.5").is_ok() && ratio("1.1").is_err() && ratio("NaN").is_err());
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(whole(1..=9)("9"), Ok(9));
        assert_eq!(whole(1..=9)("10"), Err("must be a whole number from 1 to 9".into()));
        assert!(whole(0..=u16::MAX)("65536").is_err());
    }

    #[test]
    fn hosts_and_zones_are_checked() {
        assert_eq!(host("localhost"), Ok(Ipv4Addr::LOCALHOST.into()));
        assert!(host("::").is_ok() && host("example.com").is_err());
        assert!(zone("Asia/Kolkata").is_ok() && zone("IST-5:30").is_err());
    }
}
