//! Differences between Stripe and the database, each of a kind of its own.

use crate::support::stripe::{Account, Dispute, Intent, Refund};

/// How a payment came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Captured,
    /// Captured, some time after the hold.
    Later,
    Declined,
    /// Cancelled before its payer had approved it.
    Voided,
    /// Cancelled after its payer had approved it.
    Reversed,
    /// Captured, and one of two passengers cancelled.
    PartRefund,
    /// Captured, and all of it cancelled.
    WholeRefund,
    /// Captured, and 2,000 of it lost to the payer's bank.
    Disputed,
    /// Waits for its payer.
    Open,
}

/// A difference to plant in one payment.
pub(super) struct Plant {
    pub(super) of: Kind,
    pub(super) side: Side,
    /// What the comparison says of it.
    pub(super) told: &'static str,
}

pub(super) enum Side {
    /// A statement. It names the payment as `{payment}`, its booking as `{booking}`, another captured intent as
    /// `{other}`, and an unknown refund as `{refund}`.
    Here(&'static str),
    /// A change of Stripe's account, for a payment's reference.
    There(fn(&mut Account, &str)),
}

use Kind::{Captured, Declined, Disputed, Later, Open, PartRefund, Reversed, Voided, WholeRefund};

const fn here(of: Kind, statement: &'static str, told: &'static str) -> Plant {
    Plant { of, side: Side::Here(statement), told }
}

const fn there(of: Kind, change: fn(&mut Account, &str), told: &'static str) -> Plant {
    Plant { of, side: Side::There(change), told }
}

/// Sets columns of the payment's row.
macro_rules! row {
    ($set:literal) => {
        concat!("UPDATE payments SET ", $set, " WHERE reference = '{payment}'")
    };
}

/// Sets columns of the refund's row.
macro_rules! refund_row {
    ($set:literal) => {
        concat!("UPDATE refunds SET ", $set, " WHERE payment_reference_id = '{payment}'")
    };
}

/// Adds a refund's row.
macro_rules! new_refund {
    ($status:literal) => {
        concat!(
            "INSERT INTO refunds (id, payment_reference_id, booking_id, amount, reason, status,
                    created_at, updated_at)
             SELECT '{refund}', reference, {booking}, amount, 'traveller', '",
            $status,
            "', created_at, updated_at FROM payments WHERE reference = '{payment}'"
        )
    };
}

/// What is wrong with the rows.
pub(super) const HERE: [Plant; 41] = [
    here(Captured, row!("status = 'declined'"), "declined here, the gateway keeps 5000.00"),
    here(Captured, row!("status = 'reversed'"), "reversed here, the gateway keeps 5000.00"),
    here(Later, row!("status = 'requested'"), "requested here, the gateway keeps 5000.00"),
    here(
        Later,
        row!("status = 'reversal_requested'"),
        "reversal_requested here, the gateway keeps 5000.00",
    ),
    here(Captured, row!("status = 'lost'"), "unreadable here"),
    here(Captured, row!("amount = amount * 2"), "10000.00 captured here, 5000.00 at the gateway"),
    here(Later, row!("amount = amount / 2"), "2500.00 captured here, 5000.00 at the gateway"),
    here(Captured, row!("currency = 'USD'"), "in USD here, in INR at the gateway"),
    here(Captured, row!("gateway_reference = 'pi_none'"), "unknown at the gateway as pi_none"),
    here(Captured, row!("gateway_reference = NULL"), "without the gateway's id"),
    here(Captured, row!("gateway_reference = '{other}'"), "is of another payment"),
    here(Captured, row!("gateway = NULL"), "names no gateway, and stripe has it"),
    here(Captured, row!("gateway = 'other'"), "names other, and stripe has it"),
    here(Captured, row!("gateway = NULL, gateway_reference = NULL"), "without the gateway's id"),
    here(
        Captured,
        "DELETE FROM payments WHERE reference = '{payment}'",
        "the gateway keeps 5000.00 as",
    ),
    here(Captured, "DELETE FROM bookings WHERE id = {booking}", "unreadable here"),
    here(Captured, new_refund!("done"), "is done here, not at the gateway"),
    here(Captured, new_refund!("requested"), "is requested here, not made at the gateway"),
    here(Captured, new_refund!("lost"), "is unreadable here"),
    here(
        PartRefund,
        "DELETE FROM refunds WHERE payment_reference_id = '{payment}'",
        "of 2500.00, unknown here",
    ),
    here(PartRefund, refund_row!("amount = amount * 2"), "is over 5000.00 here, over 2500.00"),
    here(WholeRefund, refund_row!("amount = amount / 2"), "is over 2500.00 here, over 5000.00"),
    here(PartRefund, refund_row!("status = 'requested'"), "is requested here, made at the gateway"),
    here(PartRefund, refund_row!("status = 'failed'"), "failed here, made at the gateway"),
    here(PartRefund, refund_row!("id = '{refund}'"), "is done here, not at the gateway"),
    here(PartRefund, row!("status = 'reversed'"), "reversed here, the gateway keeps 2500.00"),
    here(WholeRefund, row!("status = 'declined'"), "declined here, captured and given back"),
    here(Declined, row!("status = 'captured'"), "captured here, not at the gateway"),
    here(Declined, row!("status = 'requested'"), "requested here, ended without money"),
    here(
        Declined,
        row!("status = 'reversal_requested'"),
        "reversal_requested here, ended without money",
    ),
    here(Declined, row!("amount = amount * 2"), "over 10000.00 here, over 5000.00 at the gateway"),
    here(Voided, row!("status = 'captured'"), "captured here, not at the gateway"),
    here(Reversed, row!("status = 'captured'"), "the gateway gave back 5000.00 as"),
    here(Reversed, row!("status = 'requested'"), "requested here, captured and given back"),
    here(Captured, row!("dispute = 'won'"), "its dispute: won here, none at the gateway"),
    here(Disputed, row!("dispute = NULL"), "its dispute: none here, lost at the gateway"),
    here(Disputed, refund_row!("amount = amount * 2"), "took 4000.00 here, 2000.00 at the gateway"),
    here(
        WholeRefund,
        refund_row!("reason = 'dispute'"),
        "is a dispute's here, made at the gateway",
    ),
    here(Open, row!("status = 'captured'"), "captured here, not at the gateway"),
    here(Open, row!("status = 'declined'"), "declined here, still open at the gateway"),
    here(Open, row!("status = 'reversed'"), "reversed here, still open at the gateway"),
];

/// What is wrong at Stripe.
pub(super) const THERE: [Plant; 33] = [
    there(Captured, lose, "captured here, unknown at the gateway"),
    there(
        Captured,
        |account, payment| intent(account, payment).received -= 100,
        "5000.00 captured here, 4999.00 at the gateway",
    ),
    there(
        Later,
        |account, payment| intent(account, payment).received += 100,
        "5000.00 captured here, 5001.00 at the gateway",
    ),
    there(
        Captured,
        |account, payment| intent(account, payment).received = 0,
        "captured here, not at the gateway",
    ),
    there(Captured, |account, payment| set(account, payment, "canceled"), "not at the gateway"),
    there(
        Captured,
        |account, payment| set(account, payment, "requires_action"),
        "captured here, not at the gateway",
    ),
    there(
        Captured,
        |account, payment| "usd".clone_into(&mut intent(account, payment).currency),
        "in INR here, in USD at the gateway",
    ),
    there(
        Captured,
        |account, payment| intent(account, payment).reference.clear(),
        "has no reference at the gateway",
    ),
    there(
        Captured,
        |account, payment| ANOTHER.clone_into(&mut intent(account, payment).reference),
        "is of another payment",
    ),
    there(Captured, take_twice, "the gateway keeps 5000.00 as pi_PAY-"),
    there(
        Captured,
        |account, payment| give_back(account, payment, ""),
        "the gateway gave back 100.00 as re_PAY-",
    ),
    there(
        Captured,
        |account, payment| give_back(account, payment, "REF-00000000000000000000000000000007"),
        "the gateway made the refund REF-00000000000000000000000000000007 of 100.00, unknown here",
    ),
    there(
        Later,
        |account, payment| give_back(account, payment, &format!("{payment}:void")),
        "the gateway gave back 100.00 as re_PAY-",
    ),
    there(PartRefund, forget_refund, "is done here, not at the gateway"),
    there(
        PartRefund,
        |account, payment| refund(account, payment).amount -= 100,
        "is over 2500.00 here, over 2499.00 at the gateway",
    ),
    there(
        WholeRefund,
        |account, payment| refund(account, payment).status = "failed",
        "is done here, not at the gateway",
    ),
    there(
        PartRefund,
        |account, payment| refund(account, payment).status = "canceled",
        "is done here, not at the gateway",
    ),
    there(
        PartRefund,
        |account, payment| refund(account, payment).refund_id.clear(),
        "the gateway gave back 2500.00 as",
    ),
    there(
        PartRefund,
        |account, payment| refund(account, payment).status = "pending",
        "is done here, pending at the gateway",
    ),
    there(
        Captured,
        |account, payment| dispute(account, payment, "under_review"),
        "its dispute: none here, open at the gateway",
    ),
    there(
        Captured,
        |account, payment| dispute(account, payment, "lost"),
        "its dispute: none here, lost at the gateway",
    ),
    there(
        Disputed,
        |account, payment| disputed(account, payment).status = "won",
        "its dispute: lost here, won at the gateway",
    ),
    there(
        Disputed,
        |account, payment| disputed(account, payment).amount = 100_000,
        "its dispute took 2000.00 here, 1000.00 at the gateway",
    ),
    there(PartRefund, give_back_twice, "is made 2 times at the gateway"),
    there(
        Declined,
        |account, payment| intent(account, payment).capture(),
        "declined here, the gateway keeps 5000.00",
    ),
    there(
        Declined,
        |account, payment| set(account, payment, "requires_action"),
        "declined here, still open at the gateway",
    ),
    there(Declined, lose, "declined here, unknown at the gateway"),
    there(Declined, take_twice, "the gateway keeps 5000.00 as pi_PAY-"),
    there(
        Voided,
        |account, payment| intent(account, payment).capture(),
        "reversed here, the gateway keeps 5000.00",
    ),
    there(Reversed, forget_refund, "reversed here, the gateway keeps 5000.00"),
    there(
        Reversed,
        |account, payment| refund(account, payment).amount -= 100,
        "reversed here, the gateway keeps 1.00",
    ),
    there(
        Open,
        |account, payment| intent(account, payment).capture(),
        "requested here, the gateway keeps 5000.00",
    ),
    there(
        Open,
        |account, payment| set(account, payment, "canceled"),
        "requested here, ended without money at the gateway",
    ),
];

const ANOTHER: &str = "PAY-00000000000000000000000000000007";

fn intent<'a>(account: &'a mut Account, payment: &str) -> &'a mut Intent {
    let its = account.intents.iter_mut().find(|its| its.reference == payment);
    its.expect("its intent")
}

fn set(account: &mut Account, payment: &str, status: &'static str) {
    let intent = intent(account, payment);
    (intent.status, intent.received) = (status, 0);
}

fn refund<'a>(account: &'a mut Account, payment: &str) -> &'a mut Refund {
    let intent = intent(account, payment).id.clone();
    account.refunds.iter_mut().find(|its| its.intent == intent).expect("its refund")
}

fn dispute(account: &mut Account, payment: &str, status: &'static str) {
    let intent = intent(account, payment).id.clone();
    account.dispute(&intent, 500_000);
    account.disputes.last_mut().expect("a dispute").status = status;
}

fn disputed<'a>(account: &'a mut Account, payment: &str) -> &'a mut Dispute {
    let intent = intent(account, payment).id.clone();
    account.disputes.iter_mut().find(|its| its.intent == intent).expect("its dispute")
}

fn lose(account: &mut Account, payment: &str) {
    account.intents.retain(|its| its.reference != payment);
}

fn take_twice(account: &mut Account, payment: &str) {
    let mut second = Intent { id: format!("pi_{payment}"), ..intent(account, payment).clone() };
    second.capture();
    account.intents.push(second);
}

fn give_back(account: &mut Account, payment: &str, refund_id: &str) {
    let Intent { id: intent, created, .. } = intent(account, payment).clone();
    let (id, refund_id) = (format!("re_{payment}"), refund_id.to_owned());
    let refund = Refund { id, intent, amount: 10_000, status: "succeeded", refund_id, created };
    account.refunds.push(refund);
}

fn give_back_twice(account: &mut Account, payment: &str) {
    let second = Refund { id: format!("re_{payment}"), ..refund(account, payment).clone() };
    account.refunds.push(second);
}

fn forget_refund(account: &mut Account, payment: &str) {
    let forgotten = refund(account, payment).id.clone();
    account.refunds.retain(|its| its.id != forgotten);
}
