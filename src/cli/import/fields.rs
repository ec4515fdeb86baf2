//! Fields of a line, as people and spreadsheets write them.

use crate::domain::{FlightStatus, Invalid, Money, SeatCount, Timestamp};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use strum::VariantNames as _;

/// A value for a message: quoted, truncated, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 30;

    let more = if text.chars().nth(SHOWN_MAX).is_some() { "…" } else { "" };
    let start: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    format!("\"{start}{more}\"")
}

/// A timestamp. Notes what is missing from it.
pub(super) fn instant(invalid: &mut Invalid, pointer: &str, text: &str) -> Timestamp {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return instant.to_utc();
    }
    let fault = if text.is_empty() {
        "is empty".to_owned()
    } else {
        format!("{} {}", shown(text), instant_fault(text))
    };
    invalid.add(pointer, format!("{fault}; write timestamps as 2025-01-20T10:00:00Z (RFC 3339)"));
    Timestamp::default()
}

fn instant_fault(text: &str) -> &'static str {
    let written = text.replacen([' ', 't'], "T", 1);
    let local = |format| NaiveDateTime::parse_from_str(&written, format).is_ok();
    if local("%Y-%m-%dT%H:%M:%S%.f") {
        return "lacks the offset from UTC (Z or +05:30)";
    }
    if local("%Y-%m-%dT%H:%M") {
        return "lacks the seconds and the offset from UTC (Z or +05:30)";
    }
    let with_seconds =
        written.split_at_checked(16).map(|(minute, offset)| format!("{minute}:00{offset}"));
    if with_seconds.is_some_and(|text| DateTime::parse_from_rfc3339(&text).is_ok()) {
        return "lacks the seconds";
    }
    if DateTime::parse_from_str(&written, "%Y-%m-%dT%H:%M:%S%.f%#z").is_ok() {
        return "has an offset that is not written as +05:30";
    }
    if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
        return "lacks the time of day and the offset from UTC (Z or +05:30)";
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')) {
        let days = text.replacen(',', ".", 1).parse::<f64>().unwrap_or_default();
        return if (1.0..100_000.0).contains(&days) {
            "is a date's serial number in Excel: format the column as text"
        } else {
            "is a number"
        };
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('/') {
        return "is a date whose day and month are ambiguous";
    }
    "is not a timestamp"
}

/// A number of seats.
pub(super) fn seats(invalid: &mut Invalid, pointer: &str, text: &str) -> SeatCount {
    text.parse().unwrap_or_else(|_| {
        invalid.add(pointer, format!("must be a whole number{}", instead_of(text)));
        0
    })
}

/// A flight's id, or its version.
pub(super) fn natural(invalid: &mut Invalid, pointer: &str, text: &str) -> i64 {
    text.parse().ok().filter(|number| *number > 0).unwrap_or_else(|| {
        invalid.add(pointer, format!("must be a whole number above 0{}", instead_of(text)));
        1
    })
}

/// A status, in any case, with spaces or hyphens in place of underscores.
pub(super) fn status(invalid: &mut Invalid, text: &str) -> FlightStatus {
    let word = text.to_ascii_lowercase().replace([' ', '-'], "_");
    word.parse().unwrap_or_else(|_| {
        let known = FlightStatus::VARIANTS.join(", ");
        invalid.add("/flight_status", format!("must be one of {known}{}", instead_of(text)));
        FlightStatus::Scheduled
    })
}

/// An amount. If semicolons separate the fields, the decimal point may be a comma.
pub(super) fn amount(
    invalid: &mut Invalid,
    pointer: &str,
    text: &str,
    comma_is_decimal: bool,
) -> Option<Money> {
    let one_comma = text.matches(',').count() == 1 && !text.contains('.');
    let parsed = if comma_is_decimal && one_comma {
        text.replacen(',', ".", 1).parse::<Money>()
    } else {
        text.parse()
    };
    parsed.map_err(|error| invalid.add(pointer, format!("{error}{}", instead_of(text)))).ok()
}

/// The end of a message: the text that was read.
fn instead_of(text: &str) -> String {
    if text.is_empty() { "; it is empty".to_owned() } else { format!(", not {}", shown(text)) }
}
