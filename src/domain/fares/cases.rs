//! Fees of 60 cancellations, computed by hand.

use super::{FareRow, FareRules, Part, Quote, Sold};
use crate::domain::{Currency, Money, Timestamp};
use chrono::Duration;

/// A cancellation. Amounts are in minor units.
struct Case {
    currency: &'static str,
    rules: &'static str,
    /// Hours since the booking was made, and to departure.
    hours: (i64, i64),
    has_departed: bool,
    /// Price and taxes of all seats.
    sold: (i64, i64),
    /// Passengers who cancel, and seats.
    part: (i32, i32),
    /// Price, taxes, fee and refund of those who cancel.
    quote: [i64; 4],
    rule: &'static str,
}

/// The columns of a table of cases, in the order of [`Case`].
type Row = (&'static str, (i64, i64), bool, (i64, i64), (i32, i32), [i64; 4], &'static str);

const GONE: bool = true;
const AHEAD: bool = false;

/// In paise.
#[rustfmt::skip]
const INR: &[Row] = &[
    ("free", (1, 100), AHEAD, (250_050, 30_001), (1, 1), [250_050, 30_001, 0, 250_050], "free/1"),
    ("free", (500, 1), AHEAD, (99_999, 12_345), (1, 1), [99_999, 12_345, 0, 99_999], "free/1"),
    // The departure never counts.
    ("free", (500, -1), AHEAD, (99_999, 12_345), (1, 1), [99_999, 12_345, 0, 99_999], "free/1"),
    ("free", (500, -1), GONE, (99_999, 12_345), (1, 1), [99_999, 12_345, 87_654, 12_345], "no-show"),
    // 10 % of 220,049 is 22,004.9; of 219,995 it is 21,999.5; of 219,994 it is 21,999.4.
    ("flexible", (5, 72), AHEAD, (250_050, 30_001), (1, 1), [250_050, 30_001, 22_005, 228_045], "flexible/1"),
    ("flexible", (5, 24), AHEAD, (250_000, 30_005), (1, 1), [250_000, 30_005, 22_000, 228_000], "flexible/1"),
    ("flexible", (5, 72), AHEAD, (250_000, 30_006), (1, 1), [250_000, 30_006, 21_999, 228_001], "flexible/1"),
    // 50 % of 219,995 is 109,997.5; of 101 it is 50.5.
    ("flexible", (5, 23), AHEAD, (250_000, 30_005), (1, 1), [250_000, 30_005, 109_998, 140_002], "flexible/2"),
    ("flexible", (5, 0), AHEAD, (101, 0), (1, 1), [101, 0, 51, 50], "flexible/2"),
    ("flexible", (5, 0), GONE, (101, 0), (1, 1), [101, 0, 101, 0], "no-show"),
    ("flexible", (5, -5), AHEAD, (250_001, 1), (1, 1), [250_001, 1, 125_000, 125_001], "flexible/2"),
    ("flexible", (5, 72), AHEAD, (750_000, 90_000), (2, 3), [500_000, 60_000, 44_000, 456_000], "flexible/1"),
    // 10 % of 220,005 is 22,000.5 for each passenger.
    ("flexible", (5, 72), AHEAD, (750_015, 90_000), (2, 3), [500_010, 60_000, 44_002, 456_008], "flexible/1"),
    ("flexible", (5, 72), AHEAD, (750_015, 90_000), (3, 3), [750_015, 90_000, 66_003, 684_012], "flexible/1"),
    // 25 % of 311,111 is 77,777.75, and 50 % is 155,555.5.
    ("standard", (10, 168), AHEAD, (333_333, 22_222), (1, 1), [333_333, 22_222, 77_778, 255_555], "standard/1"),
    ("standard", (10, 167), AHEAD, (333_333, 22_222), (1, 1), [333_333, 22_222, 155_556, 177_777], "standard/2"),
    ("standard", (10, 24), AHEAD, (333_332, 22_222), (1, 1), [333_332, 22_222, 155_555, 177_777], "standard/2"),
    ("standard", (10, 23), AHEAD, (333_333, 22_222), (1, 1), [333_333, 22_222, 311_111, 22_222], "standard/none"),
    ("standard", (10, 23), GONE, (333_333, 22_222), (1, 1), [333_333, 22_222, 311_111, 22_222], "no-show"),
    ("standard", (1_000, -3), AHEAD, (333_333, 22_222), (1, 1), [333_333, 22_222, 311_111, 22_222], "standard/none"),
    // Not a multiple of the seats: what is left over goes with the last, and taxes alone come back.
    ("standard", (10, 23), AHEAD, (100_003, 7), (1, 2), [50_001, 3, 49_998, 3], "standard/none"),
    ("standard", (10, 23), GONE, (100_003, 7), (2, 2), [100_003, 7, 99_996, 7], "no-show"),
    // Of three seats for 3 with taxes of 2: the last must not have more taxes than price.
    ("standard", (10, 200), AHEAD, (3, 2), (2, 3), [2, 1, 0, 2], "standard/1"),
    ("standard", (10, 1), AHEAD, (3, 2), (2, 3), [2, 1, 1, 1], "standard/none"),
    ("in-2026", (0, 168), AHEAD, (455_555, 55_001), (1, 1), [455_555, 55_001, 0, 455_555], "in-2026/1"),
    ("in-2026", (48, 120), AHEAD, (455_555, 55_001), (1, 1), [455_555, 55_001, 0, 455_555], "in-2026/1"),
    ("in-2026", (49, 119), AHEAD, (455_555, 55_001), (1, 1), [455_555, 55_001, 400_554, 55_001], "in-2026/none"),
    ("in-2026", (47, 120), AHEAD, (455_555, 55_001), (1, 1), [455_555, 55_001, 400_554, 55_001], "in-2026/none"),
    ("in-2026", (1, 166), AHEAD, (455_555, 55_001), (1, 1), [455_555, 55_001, 400_554, 55_001], "in-2026/none"),
    // 12 % of 220,049 is 26,405.88; with 150.25 it is more than 150.00.
    ("mixed", (10, 72), AHEAD, (250_050, 30_001), (1, 1), [250_050, 30_001, 41_431, 208_619], "mixed/1"),
    ("mixed", (10, 72), AHEAD, (20_000, 5_000), (1, 1), [20_000, 5_000, 15_000, 5_000], "mixed/1"),
    ("mixed", (10, 72), AHEAD, (60_000, 15_000), (2, 3), [40_000, 10_000, 30_000, 10_000], "mixed/1"),
];

/// In yen.
#[rustfmt::skip]
const JPY: &[Row] = &[
    ("free", (10, 0), GONE, (31_415, 2_718), (1, 1), [31_415, 2_718, 28_697, 2_718], "no-show"),
    ("free", (0, 0), AHEAD, (7, 7), (1, 1), [7, 7, 0, 7], "free/1"),
    ("free", (0, 0), GONE, (7, 7), (1, 1), [7, 7, 0, 7], "no-show"),
    // 10 % of 11,345 is 1,134.5; of 11,344 it is 1,134.4; 50 % of 11,343 is 5,671.5.
    ("flexible", (100, 200), AHEAD, (12_345, 1_000), (1, 1), [12_345, 1_000, 1_135, 11_210], "flexible/1"),
    ("flexible", (100, 200), AHEAD, (12_344, 1_000), (1, 1), [12_344, 1_000, 1_134, 11_210], "flexible/1"),
    ("flexible", (100, 2), AHEAD, (12_344, 1_001), (1, 1), [12_344, 1_001, 5_672, 6_672], "flexible/2"),
    ("flexible", (100, 48), AHEAD, (40_003, 4_001), (1, 4), [10_000, 1_000, 900, 9_100], "flexible/1"),
    ("flexible", (100, 48), AHEAD, (40_003, 4_001), (4, 4), [40_003, 4_001, 3_600, 36_403], "flexible/1"),
    // 25 % of 9,998 is 2,499.5; 50 % of 9,997 is 4,998.5.
    ("standard", (0, 240), AHEAD, (9_998, 0), (1, 1), [9_998, 0, 2_500, 7_498], "standard/1"),
    ("standard", (0, 100), AHEAD, (9_997, 0), (1, 1), [9_997, 0, 4_999, 4_998], "standard/2"),
    ("in-2026", (24, 144), AHEAD, (30_001, 3_001), (1, 2), [15_000, 1_500, 0, 15_000], "in-2026/1"),
    ("in-2026", (24, 143), AHEAD, (30_001, 3_001), (2, 2), [30_001, 3_001, 27_000, 3_001], "in-2026/none"),
    ("mixed", (2, 10), AHEAD, (40_000, 0), (1, 1), [40_000, 0, 99, 39_901], "mixed/2"),
    // 33 % of 38,001 is 12,540.33.
    ("mixed", (3, 10), AHEAD, (40_001, 2_000), (1, 1), [40_001, 2_000, 12_540, 27_461], "mixed/3"),
];

/// In fils.
#[rustfmt::skip]
const KWD: &[Row] = &[
    ("free", (10, 24), AHEAD, (100_001, 10_000), (1, 3), [33_333, 3_333, 0, 33_333], "free/1"),
    ("free", (10, 24), AHEAD, (100_001, 10_000), (3, 3), [100_001, 10_000, 0, 100_001], "free/1"),
    // 10 % of 42,468 is 4,246.8; 50 % of 42,469 is 21,234.5, and of 16,111 it is 8,055.5.
    ("flexible", (100, 25), AHEAD, (45_678, 3_210), (1, 1), [45_678, 3_210, 4_247, 41_431], "flexible/1"),
    ("flexible", (1, 23), AHEAD, (45_679, 3_210), (1, 1), [45_679, 3_210, 21_235, 24_444], "flexible/2"),
    ("flexible", (1, 3), AHEAD, (33_333, 1_111), (1, 2), [16_666, 555, 8_056, 8_610], "flexible/2"),
    // 25 % of 100,006 is 25,001.5; of 100,005 it is 25,001.25.
    ("standard", (3, 200), AHEAD, (100_006, 0), (1, 1), [100_006, 0, 25_002, 75_004], "standard/1"),
    ("standard", (3, 200), AHEAD, (100_005, 0), (1, 1), [100_005, 0, 25_001, 75_004], "standard/1"),
    ("standard", (3, 1), AHEAD, (100_001, 10_000), (1, 3), [33_333, 3_333, 30_000, 3_333], "standard/none"),
    ("standard", (3, 1), AHEAD, (100_001, 10_000), (3, 3), [100_001, 10_000, 90_001, 10_000], "standard/none"),
    ("in-2026", (48, 200), GONE, (250_004, 25_003), (2, 5), [100_000, 10_000, 90_000, 10_000], "no-show"),
    ("in-2026", (100, 2_000), AHEAD, (250_004, 25_003), (5, 5), [250_004, 25_003, 225_001, 25_003], "in-2026/none"),
    ("mixed", (3, 3), AHEAD, (40_001, 2_000), (1, 1), [40_001, 2_000, 38_001, 2_000], "mixed/none"),
    // A fixed fee of 99 on a base of 50 each.
    ("mixed", (1, 5), AHEAD, (151, 51), (2, 2), [151, 51, 100, 51], "mixed/2"),
    ("mixed", (2, 4), AHEAD, (1_001, 101), (1, 2), [500, 50, 99, 401], "mixed/2"),
];

fn cases() -> impl Iterator<Item = Case> {
    let tables = [("INR", INR), ("JPY", JPY), ("KWD", KWD)];
    tables.into_iter().flat_map(|(currency, table)| {
        table.iter().map(move |&(rules, hours, has_departed, sold, part, quote, rule)| Case {
            currency,
            rules,
            hours,
            has_departed,
            sold,
            part,
            quote,
            rule,
        })
    })
}

/// So many minor units of a currency.
pub(super) fn minor(count: i64, currency: Currency) -> Money {
    match currency.decimals() {
        0 => Money::whole(count, currency),
        decimals => Money::from_stored(count, decimals),
    }
}

/// Rules with a fixed fee, alone and beside a percentage.
pub(super) fn mixed(currency: Currency) -> FareRules {
    let row = |fee_percent, fixed| FareRow {
        booked_within: None,
        departs_in_at_booking: None,
        departs_in: None,
        fee_percent,
        fee_fixed: minor(fixed, currency),
    };
    let rows = vec![
        FareRow { departs_in: Some(Duration::days(3)), ..row(12, 15_025) },
        FareRow { booked_within: Some(Duration::hours(2)), ..row(0, 99) },
        FareRow { departs_in: Some(Duration::hours(4)), ..row(33, 0) },
    ];
    FareRules { name: "mixed".into(), version: 3, rows }
}

impl Case {
    fn currency(&self) -> Currency {
        Currency::money(self.currency).expect(self.currency)
    }

    fn rules(&self) -> FareRules {
        let mut all =
            FareRules::shipped(self.currency()).into_iter().chain([mixed(self.currency())]);
        all.find(|rules| *rules.name == *self.rules).expect(self.rules)
    }

    fn sold(&self, now: Timestamp) -> Sold {
        let (price, taxes) = self.sold;
        Sold {
            price: minor(price, self.currency()),
            taxes: minor(taxes, self.currency()),
            booked_at: now - Duration::hours(self.hours.0),
            departs_at: now + Duration::hours(self.hours.1),
        }
    }

    fn name(&self) -> String {
        let Self { currency, rules, hours, sold, part, .. } = self;
        format!("{rules} in {currency}, {hours:?} h, {part:?} of {sold:?}")
    }
}

fn instant() -> Timestamp {
    "2026-03-01T12:34:56.789Z".parse().expect("an instant")
}

#[test]
fn quotes_are_those_computed_by_hand() {
    for case in cases() {
        let (cancelled, seats) = case.part;
        let part = Part { seats, cancelled };
        let quote = case.rules().quote(&case.sold(instant()), part, instant(), case.has_departed);
        let [price, taxes, fee, refund] = case.quote.map(|count| minor(count, case.currency()));
        let expected = Quote { price, taxes, fee, refund, rule: case.rule.to_owned() };
        assert_eq!(quote, expected, "{}", case.name());
        // Shown with the currency's decimals, zero included.
        let shown = [quote.price, quote.taxes, quote.fee, quote.refund].map(|m| m.to_string());
        assert_eq!(shown, [price, taxes, fee, refund].map(|m| m.to_string()), "{}", case.name());
    }
    assert_eq!(cases().count(), 60);
}

#[test]
fn the_fee_of_one_passenger_is_that_of_its_quote() {
    for case in cases().filter(|case| case.part == (1, 1)) {
        let fee = case.rules().fee(&case.sold(instant()), instant(), case.has_departed);
        let expected = (minor(case.quote[2], case.currency()), case.rule);
        assert_eq!((fee.amount, fee.rule.as_str()), expected, "{}", case.name());
    }
}
