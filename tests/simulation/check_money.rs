//! Money at a quiet point: the rows against the provider's ledger, refunds, fees and disputes.

use super::ports::gateway::Standing;
use super::ports::rows::Rows;
use super::world::{CHANGING, World};
use airline_booking::domain::{
    Booking, BookingStatus, DisputeStatus, FareRules, Money, PaymentStatus, Refund, RefundReason,
    RefundStatus, Timestamp,
};
use chrono::TimeDelta;
use std::collections::BTreeSet;

/// Money is conserved: the provider keeps what pays for completed bookings, and nothing else.
pub(super) fn ledger(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    let ledger = world.provider.ledger();
    for (reference, entry) in &ledger {
        let payment = rows.payments.get(reference);
        let status = payment.map(|payment| payment.status);
        if entry.captures > 1 || entry.refunds > entry.captures {
            violations.push(format!("money: payment {reference} was moved twice: {entry:?}"));
        }
        let agrees = match entry.standing {
            Standing::Captured => status == Some(PaymentStatus::Captured),
            Standing::Refunded => status == Some(PaymentStatus::Reversed),
            Standing::Declined | Standing::Voided => status != Some(PaymentStatus::Captured),
        };
        if !agrees {
            violations.push(format!("money: payment {reference} is {status:?}, there {entry:?}"));
        }
        if let Some(payment) = payment.filter(|_| entry.captures > 0)
            && entry.amount != Some(payment.amount)
        {
            violations.push(format!("money: payment {reference} was captured for another amount"));
        }
    }
    let captured = rows.payments.values().filter(|p| p.status == PaymentStatus::Captured);
    for payment in captured {
        let entry = ledger.get(&payment.reference);
        if entry.is_none_or(|entry| entry.standing != Standing::Captured) {
            violations.push(format!("money: payment {} was never captured", payment.reference));
        }
    }
}

/// The provider made each refund once, for its amount, and no other.
pub(super) fn refunds(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    let made = world.provider.refunds();
    disputes(world, rows, violations);
    let own = rows.refunds.iter().filter(|(_, its)| its.reason != RefundReason::Dispute);
    for (id, refund) in own {
        let is_done = refund.status == RefundStatus::Done;
        let is_made = made
            .get(id)
            .is_some_and(|made| made.reference == refund.payment && made.amount == refund.amount);
        if !is_done || !is_made {
            let there = made.get(id);
            violations.push(format!("money: refund {id} is {:?}, there {there:?}", refund.status));
        }
    }
    if let Some(id) = made.keys().find(|id| !rows.refunds.contains_key(id)) {
        violations.push(format!("money: refund {id} is not ours"));
    }
    let given_back = world.provider.given_back();
    if given_back.len() != made.len() {
        let (times, ids) = (given_back.len(), made.len());
        violations.push(format!("money: {ids} refunds were given back {times} times"));
    }
}

/// How far apart a sale and a change of fare rules must be for their order to be known: clocks are off.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(10);

/// A traveller's cancellation costs what the fare rules said at the sale, and an airline's nothing. The rules that
/// operators change have one row without conditions, so the time of the cancellation does not matter.
pub(super) fn fees(rows: &Rows, violations: &mut Vec<String>) {
    let is_of_dispute = |refund: &&Refund| refund.reason == RefundReason::Dispute;
    let lost: BTreeSet<_> =
        rows.refunds.values().filter(is_of_dispute).map(|refund| refund.payment).collect();
    for booking in rows.bookings.values() {
        let of_booking = rows.refunds.values().filter(|refund| refund.booking_id == booking.id);
        let reasons: BTreeSet<&str> = of_booking.map(|refund| refund.reason.as_str()).collect();
        let has_only = |reason: RefundReason| reasons.iter().eq([&reason.as_str()]);
        if has_only(RefundReason::Airline) && booking.fee > Money::default() {
            violations
                .push(format!("fees: the airline kept {} of booking {}", booking.fee, booking.id));
        }
        let is_changing = booking.fare_rules.as_str() == CHANGING;
        // Seats of a changed booking had several prices.
        let is_sold_once = booking.sold_at.is_none();
        if !is_changing || !is_sold_once || !has_only(RefundReason::Traveller) {
            continue;
        }
        // What a lost dispute took of the order's payment is taken from its fees first.
        if lost.contains(&booking.payment_reference) {
            continue;
        }
        let fees = possible_fees(booking, rows);
        if !fees.contains(&booking.fee.stored()) {
            let (id, kept) = (booking.id, booking.fee);
            violations
                .push(format!("fees: booking {id} was sold with a fee of {fees:?}, kept {kept}"));
        }
    }
}

/// The fees of the versions that a booking may have been sold with.
fn possible_fees(booking: &Booking, rows: &Rows) -> BTreeSet<i64> {
    let is_cancelled = booking.status == BookingStatus::Cancelled;
    let seats = if is_cancelled { booking.party_size() } else { booking.cancelled.len() };
    let base = booking.seat_price().less(booking.seat_taxes());
    let versions: Vec<_> = rows.fares.iter().filter(|(_, its)| &*its.name == CHANGING).collect();
    let is_before = |since: Timestamp| since <= booking.created_at;
    let sold = versions.iter().rposition(|(since, _)| is_before(*since)).unwrap_or_default();
    let is_near = |since: Timestamp| (since - booking.created_at).abs() <= CLOCKS_DIFFER;
    let possible = versions.iter().enumerate().filter(|(at, (since, _))| {
        // Its own, those about as old, and that which the oldest of these replaced.
        let next = versions.get(at + 1).map(|(since, _)| *since);
        *at == sold || is_near(*since) || next.is_some_and(is_near)
    });
    let fee = |rules: &FareRules| base.percent(rules.rows[0].fee_percent).stored();
    let of_seat: BTreeSet<i64> = possible.map(|(_, (_, rules))| fee(rules)).collect();
    // Seats that are cancelled one after the other, before and after a version is known, may cost what each says.
    let with_one_more = |sums: BTreeSet<i64>, _| {
        sums.iter().flat_map(|sum| of_seat.iter().map(move |fee| sum + fee)).collect()
    };
    (0..seats).fold(BTreeSet::from([0]), with_one_more)
}

/// What a lost dispute took counts as a refund, and is not refunded as well.
fn disputes(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    for payment in world.provider.disputed() {
        let of_dispute = rows
            .refunds
            .values()
            .filter(|its| its.payment == payment && its.reason == RefundReason::Dispute);
        let taken: i64 = of_dispute.map(|refund| refund.amount.stored()).sum();
        let lost = match world.provider.dispute_of(payment) {
            Some(its) if its.status == DisputeStatus::Lost => its.amount.stored(),
            _ => 0,
        };
        let is_captured = rows.payments[&payment].status == PaymentStatus::Captured;
        if is_captured && taken != lost {
            violations.push(format!("money: the dispute of {payment} took {lost}, here {taken}"));
        }
        if world.provider.overpaid(payment) {
            violations.push(format!("money: more than was captured of {payment} went back"));
        }
    }
}
