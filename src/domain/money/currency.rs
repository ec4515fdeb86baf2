//! Currencies, and the rules of amounts in one.

use super::{DECIMALS_MAX, Money};
use crate::domain::Invalid;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A currency code of ISO 4217: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// A currency that ISO 4217 lists as money; not a fund, a metal or a test code.
    pub fn money(text: &str) -> Option<Self> {
        let listed = iso_currency::Currency::from_code(text)?;
        let is_money = listed.exponent().is_some() && !listed.is_fund() && !listed.is_special();
        is_money.then(|| text.parse().ok())?
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is ASCII letters by construction")
    }

    /// Adds a broken rule if a request names another currency.
    pub fn check(self, invalid: &mut Invalid, sent: &str) {
        if sent != self.as_str() {
            invalid.add("/currency", format!("must be {self}: prices are in no other"));
        }
    }

    /// Number of decimals of its amounts: the minor unit of ISO 4217, or two if it lists none.
    pub fn decimals(self) -> u8 {
        let listed = iso_currency::Currency::from_code(self.as_str());
        let decimals = listed.and_then(|listed| u8::try_from(listed.exponent()?).ok());
        decimals.unwrap_or(2).min(DECIMALS_MAX)
    }

    /// A price in this currency; broken rules are added at `/price`.
    pub fn priced(self, invalid: &mut Invalid, price: Money) -> Money {
        let (least, most) = (Money::least_of(self), Money::most_of(self));
        self.amount(invalid, "/price", price, least..=most)
    }

    /// The taxes in a price; broken rules are added at `/taxes`.
    pub fn taxed(self, invalid: &mut Invalid, taxes: Money, price: Money) -> Money {
        // A price that breaks its own rules bounds nothing.
        let is_sound = (Money::least_of(self)..=Money::most_of(self)).contains(&price);
        let most = if is_sound { price } else { Money::most_of(self) };
        self.amount(invalid, "/taxes", taxes, Money::whole(0, self)..=most)
    }

    /// A fixed fee, which may be 0; broken rules are added at `pointer`.
    pub fn fee(self, invalid: &mut Invalid, pointer: &str, fee: Money) -> Money {
        self.amount(invalid, pointer, fee, Money::whole(0, self)..=Money::most_of(self))
    }

    fn amount(
        self,
        invalid: &mut Invalid,
        pointer: &str,
        amount: Money,
        range: RangeInclusive<Money>,
    ) -> Money {
        match amount.in_currency(self) {
            Ok(amount) if range.contains(&amount) => return amount,
            Ok(_) => invalid.add(pointer, format!("must be {} to {}", range.start(), range.end())),
            Err(_) if self.decimals() == 0 => {
                invalid.add(pointer, format!("must have no decimals: {self} has none"));
            }
            Err(_) => {
                let decimals = self.decimals();
                let rule = format!("must have at most {decimals} decimals, as {self} has");
                invalid.add(pointer, format!("{rule}; thousands are not separated"));
            }
        }
        amount
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
    fn a_currency_must_be_money_by_iso_4217() {
        for code in ["ABC", "XXX", "XTS", "XAU", "XDR", "CHE", "CLF", "inr", "", "INRR"] {
            assert_eq!(Currency::money(code), None, "{code}");
        }
        for (code, decimals) in [("INR", 2), ("JPY", 0), ("KWD", 3), ("XOF", 0), ("VES", 2)] {
            assert_eq!(Currency::money(code).expect(code).decimals(), decimals, "{code}");
        }
    }
}
