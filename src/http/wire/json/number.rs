//! JSON numbers, read exactly: `1`, `1.0` and `1e0` are the same number.

/// Maximum zeros written for an exponent. An `i64` has 19 digits, so more zeros change no outcome.
const DIGITS_MAX: i64 = 30;

/// A JSON number: its digits without leading and trailing zeros, and a power of ten.
pub(crate) struct Number {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

/// Why a number is not a 64-bit integer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoInteger {
    Fraction,
    /// It is beyond 64 bits.
    TooLarge,
}

impl Number {
    /// Reads a JSON value; `None` if it is not a number.
    pub(crate) fn read(json: &str) -> Option<Self> {
        let (is_negative, text) = match json.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, json),
        };
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent beyond 32 bits: more zeros than a body has bytes, and far from overflowing `i64`.
        let beyond = if power.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 };
        let power = power.parse::<i32>().map_or(beyond, i64::from);
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let exponent = power - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
        let digits = kept.trim_start_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { exponent };
        Some(Self { is_negative: is_negative && !digits.is_empty(), digits, exponent })
    }

    /// The number as an integer.
    pub(crate) fn integer(&self) -> Result<i64, NoInteger> {
        if self.exponent < 0 {
            return Err(NoInteger::Fraction);
        }
        self.plain().parse().map_err(|_| NoInteger::TooLarge)
    }

    /// The number in decimal notation without an exponent. Beyond [`DIGITS_MAX`] zeros the text is not
    /// exact, but still too large or too fine for every field.
    pub(crate) fn plain(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        let zeros = |count: i64| "0".repeat(count.clamp(0, DIGITS_MAX) as usize);
        if self.exponent >= 0 {
            return format!("{sign}{digits}{}", zeros(self.exponent));
        }
        let point = digits.len() as i64 + self.exponent;
        match usize::try_from(point) {
            Ok(point) if point > 0 => {
                let (whole, fraction) = digits.split_at(point);
                format!("{sign}{whole}.{fraction}")
            }
            _ => format!("{sign}0.{}{digits}", zeros(-point)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(json: &str) -> Result<i64, NoInteger> {
        Number::read(json).expect(json).integer()
    }

    #[test]
    fn an_integer_is_read_in_every_json_notation() {
        for (json, value) in [
            ("0", 0),
            ("-0", 0),
            ("0.000e99999999999999999999", 0),
            ("1.0", 1),
            ("1e0", 1),
            ("1E+2", 100),
            ("-1.50e1", -15),
            ("100e-2", 1),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808.00", i64::MIN),
        ] {
            assert_eq!(integer(json), Ok(value), "{json}");
        }
        for json in ["0.5", "1e-1", "1.00000000000000000001", "1e-99999999999999999999"] {
            assert_eq!(integer(json), Err(NoInteger::Fraction), "{json}");
        }
        for json in ["9223372036854775808", "1e19", "1e400", "-1e99999999999999999999"] {
            assert_eq!(integer(json), Err(NoInteger::TooLarge), "{json}");
        }
        for json in ["\"1\"", "true", "null", "[1]", "-"] {
            assert!(Number::read(json).is_none(), "{json}");
        }
    }

    #[test]
    fn decimal_notation_has_no_exponent_and_a_bounded_length() {
        for (json, plain) in [
            ("1e2", "100"),
            ("2500.50", "2500.5"),
            ("25005e-1", "2500.5"),
            ("5e-3", "0.005"),
            ("-1.25E+1", "-12.5"),
            ("-0.0", "0"),
        ] {
            assert_eq!(Number::read(json).expect(json).plain(), plain, "{json}");
        }
        for json in ["1e999999999", "1e-999999999", "-7e99999999999999999999"] {
            assert!(Number::read(json).expect(json).plain().len() < 40, "{json}");
        }
    }
}
