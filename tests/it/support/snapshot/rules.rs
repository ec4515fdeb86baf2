//! What a moment may not show.

use super::{BookingSeen, PaymentSeen, RefundSeen, Snapshot};
use std::collections::{HashMap, HashSet};

/// An order, what paid for it, and what came back.
struct OrderSeen<'a> {
    payment: &'a PaymentSeen,
    bookings: Vec<&'a BookingSeen>,
    /// The changes of its bookings: what holds the new seats, and the payment of the difference.
    changes: Vec<(&'a BookingSeen, Option<&'a PaymentSeen>)>,
    /// Of all its payments.
    refunds: Vec<&'a RefundSeen>,
}

impl Snapshot {
    /// Each order's first booking with its status: pending or completed while one of its bookings is.
    pub fn orders(&self) -> Vec<(i64, &str)> {
        let mut orders: HashMap<i64, &str> = HashMap::new();
        for booking in self.bookings.iter().filter(|booking| booking.replaces.is_none()) {
            let status = orders.entry(booking.order).or_insert(&booking.status);
            if matches!(&*booking.status, "pending" | "completed") {
                *status = &booking.status;
            }
        }
        orders.into_iter().collect()
    }

    /// What this moment shows and may not.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        self.check_flights(&mut broken);
        self.check_orders(&mut broken);
        self.check_gateway(&mut broken);
        broken
    }

    fn check_flights(&self, broken: &mut Vec<String>) {
        let mut seats: HashMap<i64, (i64, i64)> = HashMap::new();
        for booking in &self.bookings {
            let (pending, sold) = seats.entry(booking.flight).or_default();
            match &*booking.status {
                "pending" => *pending += booking.seats,
                "completed" => *sold += booking.seats,
                _ => {}
            }
        }
        for flight in &self.flights {
            let (pending, sold) = seats.get(&flight.id).copied().unwrap_or_default();
            let is_sound = flight.held == pending
                && flight.total - flight.available == sold
                && (0..=flight.available).contains(&flight.held);
            if !is_sound {
                broken.push(format!("{pending} pending and {sold} sold seats of {flight:?}"));
            }
        }
    }

    /// Puts each booking, payment and refund to its order.
    fn check_orders(&self, broken: &mut Vec<String>) {
        let mut payments: HashMap<&str, &PaymentSeen> =
            self.payments.iter().map(|payment| (&*payment.reference, payment)).collect();
        let mut changes: HashMap<i64, Vec<_>> = HashMap::new();
        for replacement in &self.bookings {
            if let Some(changed) = replacement.replaces {
                let difference = payments.remove(&*replacement.payment);
                changes.entry(changed).or_default().push((replacement, difference));
            }
        }
        let mut of_payment: HashMap<&str, Vec<&BookingSeen>> = HashMap::new();
        for booking in self.bookings.iter().filter(|booking| booking.replaces.is_none()) {
            of_payment.entry(&booking.payment).or_default().push(booking);
        }
        let mut refunds: HashMap<&str, Vec<&RefundSeen>> = HashMap::new();
        for refund in &self.refunds {
            refunds.entry(&refund.payment).or_default().push(refund);
        }
        for payment in payments.into_values() {
            let bookings = of_payment.remove(&*payment.reference).unwrap_or_default();
            let of_booking = |booking: &&BookingSeen| changes.remove(&booking.id);
            let changes: Vec<_> = bookings.iter().filter_map(of_booking).flatten().collect();
            let references = changes.iter().map(|(replacement, _)| &*replacement.payment);
            let references = references.chain([&*payment.reference]);
            let refunds = references.filter_map(|reference| refunds.remove(reference)).flatten();
            let refunds = refunds.collect();
            OrderSeen { payment, bookings, changes, refunds }.check(broken);
        }
        broken.extend(of_payment.keys().map(|payment| format!("bookings without {payment}")));
        broken.extend(refunds.keys().map(|payment| format!("refunds without {payment}")));
        broken.extend(changes.keys().map(|booking| format!("changes without booking {booking}")));
    }

    fn check_gateway(&self, broken: &mut Vec<String>) {
        let refunds: HashMap<_, _> = self.refunds.iter().map(|r| (&*r.id, r)).collect();
        let mut given: HashMap<&str, i64> = HashMap::new();
        for refund in &self.given {
            let asked = refunds
                .get(&*refund.id)
                .filter(|asked| asked.amount == refund.amount && asked.payment == refund.payment);
            let sum = given.entry(&refund.payment).or_default();
            *sum += refund.amount;
            if asked.is_none() || *sum > refund.captured {
                broken.push(format!("given back, and not owed: {refund:?}"));
            }
        }
        let given: HashSet<&str> = self.given.iter().map(|given| &*given.id).collect();
        let done = self.refunds.iter().filter(|refund| refund.status == "done");
        let missing = done.filter(|refund| !given.contains(&*refund.id));
        broken.extend(missing.map(|refund| format!("done, and not given: {refund:?}")));
    }
}

impl OrderSeen<'_> {
    /// An order is whole, all its bookings are where its payment is, its money adds up, and each of its bookings has its
    /// seats on one flight.
    fn check(&self, broken: &mut Vec<String>) {
        for (holds, what) in [
            (self.is_whole(), "whole"),
            (self.is_settled_whole(), "settled whole"),
            (self.adds_up(), "conserved money"),
            (self.is_changed_soundly(), "changed soundly"),
        ] {
            if !holds {
                let Self { payment, bookings, changes, refunds } = self;
                broken
                    .push(format!("not {what}: {payment:?} {bookings:?} {changes:?} {refunds:?}"));
            }
        }
    }

    fn is_whole(&self) -> bool {
        let bookings = &self.bookings;
        let mut segments: Vec<i64> = bookings.iter().map(|booking| booking.segment).collect();
        segments.sort_unstable();
        let count = bookings.len() as i64;
        !bookings.is_empty()
            && segments == (1..=count).collect::<Vec<_>>()
            && bookings.iter().all(|b| {
                b.segments == count && b.order == bookings[0].order && b.user == bookings[0].user
            })
    }

    fn is_settled_whole(&self) -> bool {
        let all = |allowed: &[&str]| self.bookings.iter().all(|b| allowed.contains(&&*b.status));
        match &*self.payment.status {
            "requested" => all(&["pending"]),
            "captured" => all(&["completed", "cancelled"]),
            "declined" => all(&["failed"]),
            _ => all(&["failed"]) || all(&["cancelled"]),
        }
    }

    fn adds_up(&self) -> bool {
        let is_paid = self.payment.status == "captured";
        let sold = self.bookings.iter().filter(|b| !is_paid || b.status == "completed");
        let price: i64 = sold.map(|booking| booking.price).sum();
        let fees: i64 = self.bookings.iter().map(|booking| booking.fee).sum();
        let refunded: i64 = self.refunds.iter().map(|refund| refund.amount).sum();
        let captured = self.changes.iter().filter_map(|(_, difference)| *difference);
        let captured = captured.filter(|difference| difference.status == "captured");
        let paid = self.payment.amount + captured.map(|difference| difference.amount).sum::<i64>();
        let is_of_order =
            |refund: &&RefundSeen| self.bookings.iter().any(|b| b.id == refund.booking);
        paid == price + fees + refunded
            && self.refunds.iter().all(is_of_order)
            && (is_paid || self.refunds.is_empty())
    }

    /// What holds the seats of a change never has them with the changed booking, and ends with its payment.
    fn is_changed_soundly(&self) -> bool {
        let pending = self.changes.iter().filter(|(booking, _)| booking.status == "pending");
        let is_sound = |(replacement, difference): &(&BookingSeen, Option<&PaymentSeen>)| {
            let Some(payment) = difference else { return false };
            let changed = self.bookings.iter().find(|b| Some(b.id) == replacement.replaces);
            let is_live = changed.is_some_and(|changed| changed.status == "completed");
            match &*payment.status {
                "requested" => replacement.status == "pending" && is_live,
                "captured" => replacement.status == "cancelled",
                "declined" => replacement.status == "failed",
                _ => matches!(&*replacement.status, "failed" | "cancelled"),
            }
        };
        pending.count() <= 1 && self.changes.iter().all(is_sound)
    }
}
