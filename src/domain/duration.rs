//! Durations as text, such as `30m`, `48h` or `7d`.

use chrono::TimeDelta;
use std::time::Duration;

/// Units of canonical durations, in microseconds, the largest first.
const UNITS: [(&str, i64); 6] = [
    ("d", DAY),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

const DAY: i64 = 86_400_000_000;

/// Reads a duration in Go's notation, with days added: `15s`, `1h30m`, `1.5h`, `90d`, `100ms`, `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
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

/// The canonical text of a duration that is not negative: a whole number of the largest unit that divides it, in
/// days only from three on, since travellers know `24h` and `48h`. [`parse_duration`] reads it back.
pub fn duration_text(duration: TimeDelta) -> String {
    let micros = duration.num_microseconds().unwrap_or(i64::MAX);
    let fits = |size: i64| micros % size == 0 && (size < DAY || micros >= 3 * DAY);
    let unit = UNITS.into_iter().find(|(_, size)| fits(*size));
    let (unit, size) = unit.unwrap_or(("us", 1));
    format!("{}{unit}", micros / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_canonical_text() {
        for (text, canonical) in [
            ("0", "0h"),
            ("30m", "30m"),
            ("1h30m", "90m"),
            ("1.5h", "90m"),
            ("60m", "1h"),
            ("1d", "24h"),
            ("2d", "48h"),
            ("48h", "48h"),
            ("72h", "3d"),
            ("7d", "7d"),
            ("7d1h", "169h"),
            ("90s", "90s"),
            ("100ms", "100ms"),
            ("1500us", "1500us"),
        ] {
            let read = |text| TimeDelta::from_std(parse_duration(text).expect(text)).expect(text);
            assert_eq!(duration_text(read(text)), canonical, "{text}");
            assert_eq!(read(canonical), read(text), "{text}");
        }
    }
}
