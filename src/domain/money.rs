//! Money: decimal with two places, counted in hundredths, never a float.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;

/// An amount in a currency's hundredths (paise, cents).
///
/// JSON shows it as a number with two decimals (`2500.00`) and accepts a number or a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, utoipa::ToSchema)]
#[schema(value_type = f64, example = 2500.00, maximum = 99_999_999.99)]
pub struct Money(i64);

impl Money {
    /// The largest amount that the schema's `DECIMAL(10,2)` holds: 99,999,999.99.
    pub const MAX: Self = Self(9_999_999_999);

    /// An amount from hundredths.
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// The amount in hundredths.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The price of `seats` seats, or `None` beyond [`Money::MAX`].
    pub fn times(self, seats: super::SeatCount) -> Option<Self> {
        let total = self.0.checked_mul(i64::from(seats))?;
        (total <= Self::MAX.0).then_some(Self(total))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let minor = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", minor / 100, minor % 100)
    }
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not digits with an optional sign and decimal point.
    #[error("must be a plain decimal such as 2500.00")]
    NotDecimal,
    /// More than two digits after the point.
    #[error("must have at most two decimals")]
    TooFine,
    /// Beyond what 64 bits of hundredths hold.
    #[error("is too large")]
    TooLarge,
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    /// Reads `2500`, `2500.5` or `-0.05`; trailing zeros beyond two decimals are accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(ParseMoneyError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 2 {
            return Err(ParseMoneyError::TooFine);
        }
        let hundredths: i64 =
            format!("{fraction:0<2}").parse().map_err(|_| ParseMoneyError::NotDecimal)?;
        let minor = whole
            .parse::<i64>()
            .ok()
            .and_then(|units| units.checked_mul(100)?.checked_add(hundredths))
            .ok_or(ParseMoneyError::TooLarge)?;
        Ok(Self(if negative { -minor } else { minor }))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Raw JSON text: a float could not promise two decimals.
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let unquoted = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        unquoted.parse().map_err(D::Error::custom)
    }
}

/// An ISO 4217 code: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code's letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is ASCII letters by construction")
    }

    /// Notes a request's currency that is not this one.
    pub fn check(self, invalid: &mut super::Invalid, sent: &str) {
        if sent != self.as_str() {
            invalid.add("/currency", format!("must be {self}: prices are in no other"));
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err("must be an ISO 4217 code: three capital letters, such as INR"),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_shown_with_two_decimals() {
        for (text, shown) in
            [("2500", "2500.00"), ("0.1", "0.10"), ("2500.50", "2500.50"), ("-0.05", "-0.05")]
        {
            assert_eq!(text.parse::<Money>().expect(text).to_string(), shown);
        }
        assert_eq!("1.005".parse::<Money>(), Err(ParseMoneyError::TooFine));
        assert_eq!("1.500".parse::<Money>(), Ok(Money::from_minor(150)));
        for text in ["", ".", "1.", ".5", "1e3", "+1", "--1", "1,5", "NaN"] {
            assert_eq!(text.parse::<Money>(), Err(ParseMoneyError::NotDecimal), "{text}");
        }
        assert_eq!("99999999999999999999".parse::<Money>(), Err(ParseMoneyError::TooLarge));
    }

    #[test]
    fn json_is_a_number_with_two_decimals_and_a_string_is_accepted() {
        assert_eq!(serde_json::to_string(&Money::from_minor(250_000)).expect("json"), "2500.00");
        for json in ["2500.00", "2500", "\"2500.00\""] {
            let money: Money = serde_json::from_str(json).expect(json);
            assert_eq!(money, Money::from_minor(250_000));
        }
    }
}
