//! Bookings whose passengers cancel in parts, at any time and by any rules: the parts add up.

use super::cases::{minor, mixed};
use super::{FareRow, FareRules, Part, Quote, Sold};
use crate::domain::{Currency, Money, Timestamp};
use chrono::Duration;
use fastrand::Rng;

/// Number of bookings.
const HISTORIES: usize = 100_000;

/// Number of drawn rules in a currency, beside the shipped ones.
const DRAWN_RULES: usize = 40;

fn hours(rng: &mut Rng, max: i64) -> Duration {
    Duration::hours(rng.i64(0..=max))
}

fn drawn_row(rng: &mut Rng, currency: Currency) -> FareRow {
    let mut condition = || rng.bool().then(|| hours(rng, 300));
    let (booked_within, departs_in_at_booking, departs_in) =
        (condition(), condition(), condition());
    let fixed = if rng.bool() { 0 } else { rng.i64(0..=20_000) };
    FareRow {
        booked_within,
        departs_in_at_booking,
        departs_in,
        fee_percent: rng.i32(0..=100),
        fee_fixed: minor(fixed, currency),
    }
}

fn rules(rng: &mut Rng, currency: Currency) -> Vec<FareRules> {
    let mut all = vec![mixed(currency)];
    all.extend(FareRules::shipped(currency));
    for _ in 0..DRAWN_RULES {
        let rows = (0..rng.usize(0..4)).map(|_| drawn_row(rng, currency)).collect();
        all.push(FareRules { name: "drawn".into(), version: 1, rows });
    }
    all
}

/// A booking of some seats; its price is often tiny, often the largest, and rarely a multiple of the seats.
fn drawn_sale(rng: &mut Rng, currency: Currency) -> Sold {
    let most = *rng.choice(&[30, 1_000, 100_000, Money::MINOR_MAX]).expect("a limit");
    let price = rng.i64(0..=most);
    let taxes = rng.i64(0..=price);
    Sold {
        price: minor(price, currency),
        taxes: minor(taxes, currency),
        booked_at: Timestamp::UNIX_EPOCH,
        departs_at: Timestamp::UNIX_EPOCH + hours(rng, 400),
    }
}

/// Cancels some passengers, and takes them from what is left.
fn cancel(
    rng: &mut Rng,
    rules: &FareRules,
    left: &mut Sold,
    seats: &mut i32,
    now: Timestamp,
) -> Quote {
    let part = Part { seats: *seats, cancelled: rng.i32(1..=*seats) };
    let has_departed = now >= left.departs_at && rng.bool();
    let quote = rules.quote(left, part, now, has_departed);
    check(&quote, has_departed);
    *left =
        Sold { price: left.price.less(quote.price), taxes: left.taxes.less(quote.taxes), ..*left };
    *seats -= part.cancelled;
    assert!(left.taxes <= left.price && !left.taxes.is_negative(), "{left:?} is left");
    quote
}

fn check(quote: &Quote, has_departed: bool) {
    let base = quote.price.less(quote.taxes);
    assert!(!quote.taxes.is_negative() && quote.taxes <= quote.refund, "{quote:?}");
    assert!(!quote.fee.is_negative() && quote.fee <= base, "{quote:?}");
    assert_eq!(quote.refund.plus(quote.fee), Some(quote.price), "{quote:?}");
    if has_departed || quote.rule.ends_with("/none") {
        assert_eq!(quote.refund, quote.taxes, "{quote:?}");
    }
    if quote.rule.starts_with("free/") {
        assert_eq!(quote.refund, quote.price, "{quote:?}");
    }
}

fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    amounts.reduce(|a, b| a.plus(b).expect("within the booking's price")).expect("a part")
}

#[test]
fn parts_of_a_booking_add_up_to_its_price_and_its_taxes() {
    let mut rng = Rng::with_seed(7);
    let currencies = ["INR", "JPY", "KWD"].map(|code| Currency::money(code).expect(code));
    let rules = currencies.map(|currency| rules(&mut rng, currency));
    for history in 0..HISTORIES {
        let at = history % currencies.len();
        let rules = rng.choice(&rules[at]).expect("rules");
        let sold = drawn_sale(&mut rng, currencies[at]);
        let (mut left, mut seats) = (sold, rng.i32(1..=9));
        let (mut now, mut parts) = (sold.booked_at, Vec::new());
        while seats > 0 {
            now += hours(&mut rng, 150);
            parts.push(cancel(&mut rng, rules, &mut left, &mut seats, now));
        }
        assert_eq!(sum(parts.iter().map(|part| part.price)), sold.price, "{sold:?}: {parts:?}");
        assert_eq!(sum(parts.iter().map(|part| part.taxes)), sold.taxes, "{sold:?}: {parts:?}");
    }
}
