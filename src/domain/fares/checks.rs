//! Fare rules as text, on the wire and in the stores, and the checks on reading them.

use super::{FareRow, FareRules};
use crate::domain::{Currency, Invalid, Money, duration_text, parse_duration};
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// The longest duration of a condition.
const DURATION_MAX: std::time::Duration = std::time::Duration::from_hours(1_000 * 24);

/// A row as JSON has it. What a [`FareRow`] becomes has canonical durations, such as `30m`, `48h` or `7d`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FareRowText {
    /// Matches if the booking was made at most so long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "48h")]
    pub booked_within: Option<String>,
    /// Matches if departure was at least so far away when the booking was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub departs_in_at_booking: Option<String>,
    /// Matches if departure is at least so far away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "24h")]
    pub departs_in: Option<String>,
    /// Percent of price without taxes.
    #[schema(required, nullable = false, example = 25, minimum = 0, maximum = 100)]
    pub fee_percent: Option<i32>,
    /// Amount for each passenger, beside the percentage.
    #[schema(required, nullable = false, minimum = 0)]
    pub fee_fixed: Option<Money>,
}

impl From<FareRow> for FareRowText {
    fn from(row: FareRow) -> Self {
        Self {
            booked_within: row.booked_within.map(duration_text),
            departs_in_at_booking: row.departs_in_at_booking.map(duration_text),
            departs_in: row.departs_in.map(duration_text),
            fee_percent: Some(row.fee_percent),
            fee_fixed: Some(row.fee_fixed),
        }
    }
}

impl FareRules {
    /// The largest number of rows.
    pub const ROWS_MAX: usize = 20;

    /// Whether a text can name fare rules: 1 to 40 of `a`–`z`, `0`–`9` and `-`.
    pub fn is_name(text: &str) -> bool {
        let is_sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=40).contains(&text.len()) && text.bytes().all(is_sound)
    }

    /// Rules from their parts, with fees in `currency`. Durations are kept to the microsecond, like instants.
    ///
    /// `invalid` holds rules that were found broken before, such as mistyped fields; a field that it names is not
    /// named again as missing.
    ///
    /// # Errors
    ///
    /// All broken rules, at `/name`, `/rules` and `/rules/N/FIELD`.
    pub fn checked(
        name: &str,
        version: i64,
        rows: &[FareRowText],
        currency: Currency,
        mut invalid: Invalid,
    ) -> Result<Self, Invalid> {
        if !Self::is_name(name) {
            invalid.add("/name", "must be 1 to 40 of a-z, 0-9 and -");
        }
        if rows.len() > Self::ROWS_MAX {
            invalid.add("/rules", format!("must have at most {} rows", Self::ROWS_MAX));
        }
        // Rows beyond the limit are not looked at: the answer stays small.
        let read = rows.iter().take(Self::ROWS_MAX).enumerate();
        let rows = read.map(|(at, row)| row.read(&mut invalid, at, currency)).collect();
        invalid.or(Self { name: name.into(), version, rows })
    }
}

impl FareRowText {
    /// The row; broken rules are added at `/rules/AT/FIELD`.
    fn read(&self, invalid: &mut Invalid, at: usize, currency: Currency) -> FareRow {
        let pointer = |field: &str| format!("/rules/{at}/{field}");
        let mut read = |field: &str, text: &Option<String>| {
            duration(invalid, pointer(field), text.as_deref()?)
        };
        let booked_within = read("booked_within", &self.booked_within);
        let departs_in_at_booking = read("departs_in_at_booking", &self.departs_in_at_booking);
        let departs_in = read("departs_in", &self.departs_in);
        let fee_percent = required(invalid, pointer("fee_percent"), self.fee_percent);
        if !(0..=100).contains(&fee_percent) {
            invalid.add(pointer("fee_percent"), "must be 0 to 100");
        }
        let at = pointer("fee_fixed");
        let fixed = required(invalid, at.clone(), self.fee_fixed);
        let fee_fixed = currency.fee(invalid, &at, fixed);
        FareRow { booked_within, departs_in_at_booking, departs_in, fee_percent, fee_fixed }
    }
}

fn duration(invalid: &mut Invalid, pointer: String, text: &str) -> Option<Duration> {
    let Some(duration) = parse_duration(text).filter(|duration| *duration <= DURATION_MAX) else {
        invalid.add(pointer, "must be a duration such as 30m, 48h or 7d, up to 1000d");
        return None;
    };
    // Fractions of days are read through a float, whose error is far below a microsecond.
    let micros = (duration.as_nanos() + 500) / 1_000;
    Some(Duration::microseconds(micros as i64))
}

/// The value, or 0 and a broken rule.
fn required<T: Default>(invalid: &mut Invalid, pointer: String, value: Option<T>) -> T {
    if value.is_none() && invalid.0.iter().all(|noted| noted.pointer != pointer) {
        invalid.add(pointer, "is required");
    }
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"fee_percent": 25, "fee_fixed": 10}"#;

    fn read(name: &str, json: &str, code: &str) -> Result<FareRules, Invalid> {
        let rows: Vec<FareRowText> = serde_json::from_str(json).expect(json);
        let currency = Currency::money(code).expect(code);
        FareRules::checked(name, 1, &rows, currency, Invalid::default())
    }

    fn broken(name: &str, json: &str, code: &str) -> Vec<String> {
        let invalid = read(name, json, code).expect_err(json);
        invalid.0.into_iter().map(|violation| violation.pointer).collect()
    }

    #[test]
    fn each_broken_rule_is_named_by_its_pointer() {
        for (json, code, pointer) in [
            (r#"[{"fee_fixed": 0}]"#, "INR", "fee_percent"),
            (r#"[{"fee_percent": 0}]"#, "INR", "fee_fixed"),
            (r#"[{"fee_percent": -1, "fee_fixed": 0}]"#, "INR", "fee_percent"),
            (r#"[{"fee_percent": 101, "fee_fixed": 0}]"#, "INR", "fee_percent"),
            (r#"[{"fee_percent": 0, "fee_fixed": -0.01}]"#, "INR", "fee_fixed"),
            (r#"[{"fee_percent": 0, "fee_fixed": 100000000}]"#, "INR", "fee_fixed"),
            (r#"[{"fee_percent": 0, "fee_fixed": 0.001}]"#, "INR", "fee_fixed"),
            (r#"[{"fee_percent": 0, "fee_fixed": "1.000"}]"#, "INR", "fee_fixed"),
            (r#"[{"fee_percent": 0, "fee_fixed": 0.5}]"#, "JPY", "fee_fixed"),
            (r#"[{"fee_percent": 0, "fee_fixed": 10000000}]"#, "KWD", "fee_fixed"),
        ] {
            assert_eq!(broken("x", json, code), [format!("/rules/0/{pointer}")], "{json}");
        }
        for field in ["booked_within", "departs_in_at_booking", "departs_in"] {
            for text in ["", "48", "-1h", "1001d", "1000d1us", "24001h", "soon", "99999999999999d"]
            {
                let bad = format!(r#"{{"{field}": "{text}", "fee_percent": 0, "fee_fixed": 0}}"#);
                let pointers = broken("x", &format!("[{ROW}, {bad}]"), "INR");
                assert_eq!(pointers, [format!("/rules/1/{field}")], "{text}");
            }
        }
    }

    #[test]
    fn all_broken_rules_are_named_at_once() {
        let json = r#"[{"booked_within": "x", "departs_in": "y", "fee_percent": 101}]"#;
        let pointers = broken("Free", json, "INR");
        let fields = ["booked_within", "departs_in", "fee_percent", "fee_fixed"];
        let expected = fields.map(|field| format!("/rules/0/{field}"));
        assert_eq!((pointers[0].as_str(), &pointers[1..]), ("/name", &expected[..]));
    }

    #[test]
    fn a_mistyped_field_is_not_named_again_as_missing() {
        let mistyped = Invalid::one("/rules/0/fee_fixed", "must be an amount");
        let rows = [FareRowText { fee_percent: Some(1), ..FareRowText::default() }];
        let currency = Currency::money("INR").expect("INR");
        let checked = FareRules::checked("x", 1, &rows, currency, mistyped.clone());
        assert_eq!(checked, Err(mistyped));
    }

    #[test]
    fn names_and_numbers_of_rows_have_limits() {
        for name in ["a", "in-2026", "-", &"x".repeat(40)] {
            assert!(read(name, "[]", "INR").is_ok(), "{name}");
        }
        for name in ["", "Free", "a_b", "a b", "é", "a/b", &"x".repeat(41)] {
            assert_eq!(broken(name, "[]", "INR"), ["/name"], "{name}");
        }
        let rows = |count| format!("[{}]", vec![ROW; count].join(","));
        assert_eq!(read("x", &rows(20), "INR").map(|rules| rules.rows.len()), Ok(20));
        assert_eq!(broken("x", &rows(21), "INR"), ["/rules"]);
    }

    #[test]
    fn written_rows_are_canonical_and_read_back_equal() {
        let json = r#"[
            {"booked_within": "2d", "departs_in_at_booking": "168h", "fee_percent": 0, "fee_fixed": "0"},
            {"departs_in": "999.9d", "fee_percent": 100, "fee_fixed": 12.5},
            {"booked_within": null, "departs_in": "0", "fee_percent": 7, "fee_fixed": "1"}
        ]"#;
        for (code, json, fixed) in [
            ("INR", json.to_owned(), ["0.00", "12.50", "1.00"]),
            ("KWD", json.to_owned(), ["0.000", "12.500", "1.000"]),
            ("JPY", json.replace("12.5", "12.0"), ["0", "12", "1"]),
        ] {
            let rules = read("x", &json, code).expect(code);
            let written = serde_json::to_string(&rules.rows).expect("JSON");
            let [first, second, third] = fixed;
            let canonical = [
                format!(
                    r#"{{"booked_within":"48h","departs_in_at_booking":"7d","fee_percent":0,"fee_fixed":{first}}}"#
                ),
                format!(r#"{{"departs_in":"1439856m","fee_percent":100,"fee_fixed":{second}}}"#),
                format!(r#"{{"departs_in":"0h","fee_percent":7,"fee_fixed":{third}}}"#),
            ];
            assert_eq!(written, format!("[{}]", canonical.join(",")));
            assert_eq!(read("x", &written, code), Ok(rules));
        }
    }

    #[test]
    fn shipped_rules_keep_the_rules_and_read_back_equal() {
        for code in ["INR", "JPY", "KWD"] {
            for rules in FareRules::shipped(Currency::money(code).expect(code)) {
                let written = serde_json::to_string(&rules.rows).expect("JSON");
                assert_eq!(read(&rules.name, &written, code), Ok(rules), "{written}");
            }
        }
        let wire = serde_json::to_string(&FareRules::free(Currency::money("INR").expect("INR")));
        let expected =
            r#"{"name":"free","version":1,"rules":[{"fee_percent":0,"fee_fixed":0.00}]}"#;
        assert_eq!(wire.expect("JSON"), expected);
    }
}
