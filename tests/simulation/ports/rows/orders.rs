//! What holds of an order at every moment: it is whole, and its money is where its bookings say.

use super::Rows;
use airline_booking::domain::{
    Booking, BookingStatus, FailureReason, Order, OrderRecord, Payment, PaymentKind,
    PaymentReference, PaymentStatus, PendingChange, Refund,
};
use std::collections::BTreeSet;

/// What is wrong with the bookings of an order, if anything is.
pub fn fault_of_bookings(order: &Order) -> Option<String> {
    let (first, all) = (order.first(), &order.bookings);
    let is_numbered = |(at, booking): (usize, &Booking)| booking.segment == at as i32 + 1;
    let is_one = |booking: &Booking| {
        booking.user_id == first.user_id
            && booking.order_id == first.id
            && booking.payment_reference == order.payment.order
            && booking.segments == all.len() as i32
    };
    if !all.iter().enumerate().all(is_numbered) || !all.iter().all(is_one) {
        return Some(format!("it is not whole: {all:?}"));
    }
    for status in [BookingStatus::Pending, BookingStatus::Failed] {
        let some = all.iter().filter(|booking| booking.status == status).count();
        if some != 0 && some != all.len() {
            return Some(format!("{some} of {} bookings are {}", all.len(), status.as_str()));
        }
    }
    None
}

/// What is wrong with the status of an order's payment, if anything is.
pub fn fault_of_payment(order: &Order) -> Option<String> {
    let has = |status| order.bookings.iter().any(|booking| booking.status == status);
    let is_sound = match order.payment.status {
        PaymentStatus::Requested => has(BookingStatus::Pending),
        PaymentStatus::Captured => has(BookingStatus::Completed) || has(BookingStatus::Cancelled),
        _ => !has(BookingStatus::Pending) && !has(BookingStatus::Completed),
    };
    let (status, payment) = (order.status().as_str(), order.payment.status.as_str());
    let is_declined = order.first().failure_reason == Some(FailureReason::PaymentDeclined);
    if is_declined && order.payment.kind == PaymentKind::Later {
        return Some("a decline ended an order that is paid later".to_owned());
    }
    (!is_sound).then(|| format!("it is {status}, and its payment {payment}"))
}

/// What is wrong with the money of an order, if anything is. A captured payment and the captured `differences` of its changes
/// are what its sold seats cost, and what was refunded; another has sold nothing. Of the attempts to pay, only the last may
/// be open or captured.
pub fn fault_of_money(record: &OrderRecord, differences: Option<i64>) -> Option<String> {
    let OrderRecord { order, earlier, refunds, .. } = record;
    let attempts = earlier.iter().chain([&order.payment]).map(|payment| payment.attempt);
    if !attempts.eq(1..=earlier.len() as i32 + 1) {
        return Some("its attempts are not numbered one after the other".to_owned());
    }
    let is_live =
        |p: &&Payment| matches!(p.status, PaymentStatus::Requested | PaymentStatus::Captured);
    if let Some(payment) = earlier.iter().find(is_live) {
        return Some(format!("attempt {} is {:?} still", payment.attempt, payment.status));
    }
    let Payment { amount, status, .. } = &order.payment;
    let of = |status| order.bookings.iter().filter(move |booking| booking.status == status);
    let sold = of(BookingStatus::Completed);
    let prices: i64 = sold.clone().map(|booking| booking.booking_price.stored()).sum();
    let refunded: i64 = refunds.iter().map(|refund| refund.amount.stored()).sum();
    let fees: i64 = order.bookings.iter().map(|booking| booking.fee.stored()).sum();
    let is_pending = of(BookingStatus::Pending).count() > 0;
    let is_sound = match status {
        PaymentStatus::Captured => {
            let paid = differences.map(|more| amount.stored() + more);
            !is_pending && paid.is_none_or(|paid| prices + fees + refunded == paid)
        }
        _ => sold.count() == 0 && refunds.is_empty(),
    };
    if is_sound && is_pending == (*status == PaymentStatus::Requested) {
        return None;
    }
    let what = format!("payment of {amount} is {}", status.as_str());
    Some(format!("{what}, {prices} sold, {fees} kept, {refunded} refunded, pending {is_pending}"))
}

/// What is wrong with the refunds of a booking of a captured payment: each seat that came back is refunded for its
/// price, less the fee.
///
/// Of a booking that was changed, or that held seats for a change, seats had several prices: the sum of its order says
/// all.
pub fn fault_of_refunds(booking: &Booking, refunds: &[Refund]) -> Option<String> {
    if booking.sold_at.is_some() || booking.replaces.is_some() {
        return None;
    }
    let seats = match booking.status {
        BookingStatus::Cancelled => booking.party_size(),
        _ => booking.cancelled.len(),
    };
    let owed = booking.seat_price().stored() * seats as i64;
    let refunds = refunds.iter().filter(|refund| refund.booking_id == booking.id);
    let refunded: i64 = refunds.map(|refund| refund.amount.stored()).sum();
    let refunded = refunded + booking.fee.stored();
    (refunded != owed).then(|| format!("{refunded} refunded for {seats} seats worth {owed}"))
}

impl Rows {
    /// A payment's order, its attempts and refunds; `None` if it pays for nothing.
    pub fn record(&self, payment: &PaymentReference) -> Option<OrderRecord> {
        let shown = |booking: &Booking| {
            let flight = self.flights.get(&booking.flight_id);
            let was = flight.and_then(|flight| booking.departure_before(flight.departs_at));
            Booking { was, ..booking.clone() }
        };
        let bookings = self.order(payment).into_iter().map(shown).collect();
        let mut attempts = self.attempts(&self.payments.get(payment)?.order);
        let differences = self.differences(payment);
        let pays = |reference| {
            let mut all = attempts.iter().chain(differences.iter().copied());
            all.any(|payment| payment.reference == reference)
        };
        let refunds = self.refunds.values().filter(|it| pays(it.payment)).cloned().collect();
        let order = Order::of(bookings, attempts.pop()?)?;
        let change = self.changes(payment).find(|it| it.status == BookingStatus::Pending);
        let change = change.and_then(|replacement| {
            let payment = self.payments.get(&replacement.payment_reference)?.clone();
            Some(PendingChange { replacement: replacement.clone(), payment })
        });
        Some(OrderRecord { order, earlier: attempts.into(), refunds, change })
    }

    /// The bookings that were made to change one of an order.
    fn changes(&self, payment: &PaymentReference) -> impl Iterator<Item = &Booking> {
        let order: Vec<_> = self.order(payment).into_iter().map(|booking| booking.id).collect();
        let is_of = move |it: &&Booking| it.replaces.is_some_and(|id| order.contains(&id));
        self.bookings.values().filter(is_of)
    }

    /// The payments of the differences of an order.
    fn differences(&self, payment: &PaymentReference) -> Vec<&Payment> {
        self.changes(payment).filter_map(|it| self.payments.get(&it.payment_reference)).collect()
    }

    /// The sum of an order's captured differences. What a captured difference paid is the changed booking's, so that of the
    /// booking that held its seats is not asked for: `None`.
    pub fn paid_differences(&self, payment: &PaymentReference) -> Option<i64> {
        let is_change = self.order(payment).first().is_some_and(|it| it.replaces.is_some());
        let all = self.differences(payment).into_iter();
        let paid = all.filter(|it| it.status == PaymentStatus::Captured);
        (!is_change).then(|| paid.map(|it| it.amount.stored()).sum())
    }

    /// What is wrong with the changes of an order: two at a time, or one of a booking that has ended.
    fn fault_of_changes(&self, payment: &PaymentReference) -> Option<String> {
        let pending: Vec<_> =
            self.changes(payment).filter(|it| it.status == BookingStatus::Pending).collect();
        let is_live = |it: &&Booking| {
            let replaced = it.replaces.and_then(|id| self.bookings.get(&id));
            replaced.is_some_and(|booking| booking.status == BookingStatus::Completed)
        };
        let is_sound = pending.len() < 2 && pending.iter().all(is_live);
        (!is_sound).then(|| format!("changes wait for their payments: {pending:?}"))
    }

    /// What is wrong with the money of a payment's order, if anything is.
    pub fn fault_of_payments(&self, record: &OrderRecord) -> Option<String> {
        let first = record.order.payment.order;
        let refunds = record.refunds.iter();
        let over =
            self.differences(&first).into_iter().chain([&record.order.payment]).find(|paid| {
                let its = refunds.clone().filter(|refund| refund.payment == paid.reference);
                its.map(|refund| refund.amount.stored()).sum::<i64>() > paid.amount.stored()
            });
        let over = over.map(|paid| format!("{} refunds more than it took", paid.reference));
        over.or_else(|| self.fault_of_changes(&first))
            .or_else(|| fault_of_money(record, self.paid_differences(&first)))
    }

    /// The payments of an order, the first attempt first.
    pub fn attempts(&self, first: &PaymentReference) -> Vec<Payment> {
        let mut attempts: Vec<_> =
            self.payments.values().filter(|payment| payment.order == *first).cloned().collect();
        attempts.sort_by_key(|payment| payment.attempt);
        attempts
    }

    /// Orders are whole after each commit that touches them.
    pub(super) fn check_orders(&mut self, touched: &BTreeSet<PaymentReference>) {
        for payment in touched {
            let fault = match self.record(payment) {
                Some(record) => {
                    fault_of_bookings(&record.order).or_else(|| self.fault_of_payments(&record))
                }
                None => Some("it pays for nothing".to_owned()),
            };
            if let Some(fault) = fault {
                self.complaints.push(format!("I4: a commit leaves payment {payment}: {fault}"));
            }
        }
    }
}
