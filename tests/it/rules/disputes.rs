//! Money of disputed payments: what a lost dispute took is not refunded as well, and no paisa is lost.

use super::orders::{Paid, cancel, case, reference};
use super::{refunds_of, settle_refund};
use airline_booking::domain::{
    BookingStatus, Currency, DisputeStatus, Money, RefundReason, RefundStatus,
};
use airline_booking::rules::{Command, Dispute};
use proptest::prelude::*;

fn lost(paid: &Paid, amount: Money) -> Command {
    let (reference, status) = (reference(), DisputeStatus::Lost);
    let seen = paid.state.payments[&reference].version;
    Command::Dispute(Dispute { reference, status, amount, seen })
}

/// What the order's parts add up to: prices of completed bookings, and refunds by whether they are done.
fn parts(paid: &Paid) -> (i64, i64, i64) {
    let completed = paid.state.bookings.values().filter(|b| b.status == BookingStatus::Completed);
    let prices = completed.map(|booking| booking.booking_price.stored()).sum();
    let of = |is_done: bool| {
        let refunds = refunds_of(&paid.state, reference());
        let some = refunds.iter().filter(|r| (r.status == RefundStatus::Done) == is_done);
        some.map(|refund| refund.amount.stored()).sum()
    };
    (prices, of(true), of(false))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// After random cancellations, some of them settled, a dispute of any part of what is left is lost.
    #[test]
    fn a_lost_dispute_is_not_refunded_as_well(
        case in case(),
        settled in 0..8_usize,
        share in 1..=1_000_i64,
        currency in prop::sample::select(vec!["INR", "KWD"]),
    ) {
        let currency: Currency = currency.parse().expect("a currency");
        let mut paid = Paid::of(&case, currency);
        for (segment, by, part) in &case.cancellations {
            paid.cancel(&cancel(segment % case.prices.len(), *by, part.clone()));
        }
        // From here on prices of bookings are no multiple of a seat's.
        paid.bookings.clear();
        let refunds: Vec<_> = refunds_of(&paid.state, reference()).into_iter().cloned().collect();
        for refund in refunds.iter().take(settled) {
            paid.run(&settle_refund(refund));
        }
        let (prices, done, owed) = parts(&paid);
        let captured = paid.state.payments[&reference()].amount.stored();
        prop_assert_eq!(prices + done + owed, captured);
        let left = captured - done;
        let amount = ((i128::from(left) * i128::from(share)) / 1_000) as i64;
        if amount == 0 {
            return Ok(());
        }

        let news = lost(&paid, Money::from_stored(amount, currency.decimals()));
        let decision = paid.run(&news);
        prop_assert!(decision.outcome.is_ok());
        let (prices_after, done_after, owed_after) = parts(&paid);
        prop_assert_eq!(prices_after + done_after + owed_after, captured);
        prop_assert_eq!(done_after - done, amount, "all that the bank took is a refund that is done");
        prop_assert_eq!(owed - owed_after, amount.min(owed), "what is owed shrinks first");
        let disputed: i64 = refunds_of(&paid.state, reference()).iter()
            .filter(|refund| refund.reason == RefundReason::Dispute)
            .map(|refund| refund.amount.stored()).sum();
        prop_assert_eq!(disputed, amount);
        // Seats come back if and only if nothing is left of what they paid.
        prop_assert_eq!(prices_after == 0, prices == 0 || amount >= owed + prices);
        for flight in paid.state.flights.values() {
            prop_assert!(flight.is_sound());
        }
        let again = paid.run(&lost(&paid, Money::from_stored(left, currency.decimals())));
        prop_assert!(again.outcome.is_ok() && again.changes.is_empty(), "once");
    }
}
