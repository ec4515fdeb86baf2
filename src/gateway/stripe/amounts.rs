//! Amounts as Stripe counts them.

use crate::domain::{Currency, Money};

/// Currencies without decimals at Stripe.
const WHOLE: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];

/// Number of thousandths in Stripe's unit of a currency.
///
/// Some currencies differ from ISO 4217: MGA has no decimals, ISK and UGX are counted in hundredths.
fn thousandths_in_unit(currency: Currency) -> i64 {
    match currency.as_str() {
        code if WHOLE.contains(&code) => 1_000,
        _ if currency.decimals() == 3 => 1,
        _ => 10,
    }
}

/// The smallest step of an amount, in thousandths. Stripe asks for a last digit of zero where it counts three
/// decimals, and for whole units of ISK and UGX.
fn step(currency: Currency) -> i64 {
    match currency.as_str() {
        "ISK" | "UGX" => 1_000,
        _ => thousandths_in_unit(currency).max(10),
    }
}

/// An amount in Stripe's unit; `None` if Stripe has no number for it.
pub(super) fn to_stripe(amount: Money, currency: Currency) -> Option<i64> {
    let stored = amount.stored();
    let thousandths = if currency.decimals() == 3 { stored } else { stored * 10 };
    let is_sound = thousandths > 0 && thousandths % step(currency) == 0;
    is_sound.then(|| thousandths / thousandths_in_unit(currency))
}

/// An amount in Stripe's unit as money: the inverse of [`to_stripe`].
pub(super) fn from_stripe(amount: i64, currency: Currency) -> Money {
    let thousandths = amount.saturating_mul(thousandths_in_unit(currency));
    let decimals = currency.decimals();
    Money::from_stored(if decimals == 3 { thousandths } else { thousandths / 10 }, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_as_stripe_counts_each_currency() {
        for (code, amount, counted) in [
            ("INR", "2500.00", Some(250_000)),
            ("INR", "0.01", Some(1)),
            ("JPY", "2500", Some(2_500)),
            ("KRW", "1", Some(1)),
            ("KWD", "5.120", Some(5_120)),
            ("KWD", "5.124", None),
            ("MGA", "300.00", Some(300)),
            ("MGA", "300.20", None),
            ("ISK", "5", Some(500)),
            ("UGX", "5", Some(500)),
            ("INR", "0.00", None),
        ] {
            let currency = Currency::money(code).expect(code);
            let money: Money = amount.parse().expect(amount);
            let money = money.in_currency(currency).expect(amount);
            assert_eq!(to_stripe(money, currency), counted, "{amount} {code}");
            if let Some(counted) = counted {
                assert_eq!(from_stripe(counted, currency), money, "{amount} {code}");
            }
        }
    }
}
