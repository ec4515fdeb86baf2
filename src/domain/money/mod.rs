//! Money: exact decimal amounts, never a float.

mod currency;

use crate::domain::Invalid;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

pub use currency::Currency;

/// Maximum number of decimals of a currency.
const DECIMALS_MAX: u8 = 3;

/// An amount, exact to a thousandth, with the number of decimals to show.
///
/// JSON shows it as a number with its currency's decimals (`2500.00`, in yen `2500`) and accepts a
/// number or a string. Amounts are compared by value: `2500` equals `2500.00`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Money {
    thousandths: i64,
    decimals: u8,
    /// Whether it was read from a JSON number, whose trailing zeros mean nothing.
    from_number: bool,
}

impl Money {
    /// The largest amount, in minor units of its currency: 99,999,999.99 with two decimals.
    pub const MINOR_MAX: i64 = 9_999_999_999;

    const fn of(thousandths: i64, decimals: u8) -> Self {
        Self { thousandths, decimals, from_number: false }
    }

    /// An amount from hundredths, shown with two decimals.
    pub const fn from_minor(minor: i64) -> Self {
        Self::of(minor * 10, 2)
    }

    /// An amount from whole units of a currency.
    pub fn whole(units: i64, currency: Currency) -> Self {
        Self::of(units * 1_000, currency.decimals())
    }

    /// The smallest amount of a currency above zero.
    pub fn least_of(currency: Currency) -> Self {
        let decimals = currency.decimals();
        Self::of(thousandths_in_minor(decimals), decimals)
    }

    /// The largest amount of a currency: [`Money::MINOR_MAX`] minor units.
    pub fn most_of(currency: Currency) -> Self {
        let decimals = currency.decimals();
        Self::of(Self::MINOR_MAX * thousandths_in_minor(decimals), decimals)
    }

    /// Notes a broken rule unless what was sent, if anything, may be an amount, whatever its currency: 0 to
    /// [`Money::MINOR_MAX`].
    pub fn check(sent: Option<Self>, invalid: &mut Invalid, pointer: &str) {
        if sent.is_some_and(|sent| !(0..=Self::MINOR_MAX * 1_000).contains(&sent.thousandths)) {
            invalid.add(pointer, format!("must be 0 to {}", Self::MINOR_MAX));
        }
    }

    /// An amount as the stores hold it: in thousandths if its currency has three decimals, else in
    /// hundredths.
    pub const fn from_stored(count: i64, decimals: u8) -> Self {
        let thousandths = if decimals == 3 { count } else { count * 10 };
        Self::of(thousandths, decimals)
    }

    /// The inverse of [`Money::from_stored`].
    pub const fn stored(self) -> i64 {
        if self.decimals == 3 { self.thousandths } else { self.thousandths / 10 }
    }

    /// Whether the amount is below zero.
    pub const fn is_negative(self) -> bool {
        self.thousandths < 0
    }

    /// The same amount with its currency's decimals. `TooFine` if it was written with more, even zeros:
    /// `1.000` may mean a thousand.
    pub fn in_currency(self, currency: Currency) -> Result<Self, ParseMoneyError> {
        let priced = Self::of(self.thousandths, currency.decimals());
        let is_finer = self.thousandths % thousandths_in_minor(priced.decimals) != 0;
        if is_finer || (self.decimals > priced.decimals && !self.from_number) {
            return Err(ParseMoneyError::TooFine);
        }
        Ok(priced)
    }

    /// The price of `seats` seats, or `None` beyond [`Money::MINOR_MAX`].
    pub fn times(self, seats: super::SeatCount) -> Option<Self> {
        let thousandths = self.thousandths.checked_mul(i64::from(seats))?;
        let most = Self::MINOR_MAX * thousandths_in_minor(self.decimals);
        (thousandths <= most).then_some(Self { thousandths, ..self })
    }

    /// The sum of two amounts of one currency, or `None` beyond [`Money::MINOR_MAX`].
    pub fn plus(self, other: Self) -> Option<Self> {
        let thousandths = self.thousandths.checked_add(other.thousandths)?;
        let most = Self::MINOR_MAX * thousandths_in_minor(self.decimals);
        (thousandths <= most).then_some(Self { thousandths, ..self })
    }

    /// The price of one of `seats` seats, whose price this is: the inverse of [`Money::times`]. Rounded down to a
    /// whole minor unit.
    #[must_use]
    pub fn per(self, seats: super::SeatCount) -> Self {
        let minor = thousandths_in_minor(self.decimals);
        let thousandths = self.thousandths / (i64::from(seats.max(1)) * minor) * minor;
        Self { thousandths, ..self }
    }

    /// A percentage of this amount, rounded half up to a whole minor unit.
    #[must_use]
    pub fn percent(self, percent: i32) -> Self {
        let minor = i128::from(thousandths_in_minor(self.decimals));
        let hundredfold = i128::from(self.thousandths) * i128::from(percent);
        let count = (hundredfold + 50 * minor).div_euclid(100 * minor);
        Self { thousandths: (count * minor) as i64, ..self }
    }

    /// This amount without a part of it.
    #[must_use]
    pub fn less(self, part: Self) -> Self {
        Self { thousandths: self.thousandths - part.thousandths, ..self }
    }
}

/// Number of thousandths in the minor unit of a currency with this many decimals.
const fn thousandths_in_minor(decimals: u8) -> i64 {
    match decimals {
        0 => 1_000,
        1 => 100,
        2 => 10,
        _ => 1,
    }
}

impl PartialEq for Money {
    fn eq(&self, other: &Self) -> bool {
        self.thousandths == other.thousandths
    }
}

impl Eq for Money {}

impl PartialOrd for Money {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Money {
    fn cmp(&self, other: &Self) -> Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

impl Hash for Money {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.thousandths.hash(state);
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
            .description(Some("An amount, with its currency's decimals (ISO 4217)."))
            .examples([serde_json::json!(2500.00)])
            .maximum(Some(Self::MINOR_MAX))
            .into()
    }
}

impl utoipa::ToSchema for Money {}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.thousandths < 0 { "-" } else { "" };
        let count = self.thousandths.unsigned_abs();
        let (units, rest) = (count / 1_000, count % 1_000);
        match self.decimals {
            0 => write!(f, "{sign}{units}"),
            1 => write!(f, "{sign}{units}.{}", rest / 100),
            2 => write!(f, "{sign}{units}.{:02}", rest / 10),
            _ => write!(f, "{sign}{units}.{rest:03}"),
        }
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not digits with an optional sign and decimal point.
    #[error("must be a plain decimal such as 2500.00, without thousands separators")]
    NotDecimal,
    /// More digits after the point than the currency has.
    #[error("must not have more decimals than its currency")]
    TooFine,
    /// Beyond what 64 bits of thousandths hold.
    #[error("is too large")]
    TooLarge,
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    /// Reads `2500`, `2500.5` or `-0.05`, and keeps the number of decimals written.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(ParseMoneyError::NotDecimal),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(ParseMoneyError::NotDecimal);
        }
        let significant = fraction.trim_end_matches('0');
        if significant.len() > usize::from(DECIMALS_MAX) {
            return Err(ParseMoneyError::TooFine);
        }
        let part: i64 =
            format!("{significant:0<3}").parse().map_err(|_| ParseMoneyError::NotDecimal)?;
        let thousandths = whole
            .parse::<i64>()
            .ok()
            .and_then(|units| units.checked_mul(1_000)?.checked_add(part))
            .ok_or(ParseMoneyError::TooLarge)?;
        let decimals = u8::try_from(fraction.len()).unwrap_or(u8::MAX);
        Ok(Self::of(if negative { -thousandths } else { thousandths }, decimals))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Raw JSON text: a float would lose decimals.
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    /// A text keeps the decimals that it is written with. A number is its value: its trailing zeros mean
    /// nothing.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if let Some(text) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            return text.parse().map_err(D::Error::custom);
        }
        let number: Self = text.parse().map_err(D::Error::custom)?;
        Ok(Self { from_number: true, ..number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::money(code).expect(code)
    }

    #[test]
    fn amounts_are_read_exactly_and_keep_the_decimals_they_were_written_with() {
        for text in ["2500", "0.1", "2500.50", "-0.05", "1.000", "0.001"] {
            assert_eq!(text.parse::<Money>().expect(text).to_string(), text);
        }
        assert_eq!("1.0005".parse::<Money>(), Err(ParseMoneyError::TooFine));
        assert_eq!("1.500".parse::<Money>(), Ok(Money::from_minor(150)));
        for text in ["", ".", "1.", ".5", "1e3", "+1", "--1", "1,5", "1,000", "1 000", "NaN"] {
            assert_eq!(text.parse::<Money>(), Err(ParseMoneyError::NotDecimal), "{text}");
        }
        assert_eq!("99999999999999999999".parse::<Money>(), Err(ParseMoneyError::TooLarge));
    }

    #[test]
    fn a_price_is_shown_with_its_currency_s_decimals_and_refused_with_others() {
        for (code, text, shown) in [
            ("INR", "2500", Some("2500.00")),
            ("INR", "1.000", None),
            ("INR", "2.505", None),
            ("JPY", "2500", Some("2500")),
            ("JPY", "2500.0", None),
            ("KWD", "2.5", Some("2.500")),
            ("KWD", "1.000", Some("1.000")),
        ] {
            let priced = text.parse::<Money>().expect(text).in_currency(currency(code));
            assert_eq!(priced.ok().map(|price| price.to_string()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn amounts_are_stored_in_hundredths_and_in_thousandths_if_the_currency_has_three_decimals() {
        for (code, count, shown) in
            [("INR", 250_050, "2500.50"), ("JPY", 250_000, "2500"), ("KWD", 2_505, "2.505")]
        {
            let amount = Money::from_stored(count, currency(code).decimals());
            assert_eq!((amount.to_string().as_str(), amount.stored()), (shown, count));
        }
        assert_eq!(Money::most_of(currency("JPY")).to_string(), "9999999999");
        assert_eq!(Money::most_of(currency("KWD")).times(2), None);
    }

    #[test]
    fn a_percentage_is_rounded_half_up_to_the_minor_unit() {
        for (code, text, percent, share) in [
            ("INR", "0.05", 10, "0.01"),
            ("INR", "0.04", 10, "0.00"),
            ("INR", "99999999.99", 100, "99999999.99"),
            ("JPY", "25", 50, "13"),
            ("JPY", "25", 49, "12"),
            ("KWD", "0.025", 50, "0.013"),
            ("KWD", "1.000", 0, "0.000"),
        ] {
            let amount = text.parse::<Money>().expect(text).in_currency(currency(code));
            let part = amount.expect(text).percent(percent);
            assert_eq!(part.to_string(), share, "{percent} % of {text} {code}");
        }
    }

    #[test]
    fn trailing_zeros_count_in_a_json_text_and_not_in_a_json_number() {
        assert_eq!(serde_json::to_string(&Money::from_minor(250_000)).expect("json"), "2500.00");
        let inr = currency("INR");
        for json in ["2500.00", "2500", "\"2500.00\"", "2500.000"] {
            let money: Money = serde_json::from_str(json).expect(json);
            assert_eq!(money.in_currency(inr), Ok(Money::from_minor(250_000)), "{json}");
        }
        let text: Money = serde_json::from_str("\"2500.000\"").expect("an amount");
        assert_eq!(text.in_currency(inr), Err(ParseMoneyError::TooFine));
    }
}
