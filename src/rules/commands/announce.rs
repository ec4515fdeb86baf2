//! The events of refunds and of entries of waiting lists. Whatever command changes such a row, its event is added here, to
//! the same commit.

use crate::domain::{
    AirlineEvent, Entry, EntryChanged, EntryStatus, Event, Refund, RefundChanged, RefundStatus,
    Timestamp,
};
use crate::rules::{Changes, State};

/// Adds the events of the rows that a command, decided on this state, changes.
pub(super) fn announce(state: &State, changes: &mut Changes, now: Timestamp) {
    if changes.refunds.is_empty() && changes.entries.is_empty() {
        return;
    }
    let refunds = changes.refunds.iter().map(|change| &change.after);
    let refunds = refunds.filter_map(|refund| of_refund(state, changes, refund));
    let entries = changes.entries.iter().map(|change| &change.after);
    let entries = entries.filter_map(|entry| of_entry(state, changes, entry));
    let told = refunds.chain(entries).map(|(event, version)| Event::Airline(event, version, now));
    let told: Vec<Event> = told.collect();
    changes.events.extend(told);
}

/// A refund's event. Each change of its row has one, also if its amount alone changed: a lost dispute lowers it.
fn of_refund(state: &State, changes: &Changes, refund: &Refund) -> Option<(AirlineEvent, i64)> {
    if planted!(end_of_a_refund_is_not_told) && refund.status == RefundStatus::Done {
        return None;
    }
    let mut changed = changes.bookings.iter().map(|change| &change.after);
    let changed = changed.find(|booking| booking.id == refund.booking_id);
    let booking = changed.or_else(|| state.bookings.get(&refund.booking_id))?;
    let told = RefundChanged {
        refund_id: refund.id,
        booking_id: booking.id,
        order_id: booking.order_id,
        flight_id: booking.flight_id,
        payment: refund.payment,
        amount: refund.amount,
        currency: state.payments.get(&refund.payment)?.currency,
        reason: refund.reason,
        status: refund.status,
    };
    Some((AirlineEvent::RefundChanged(told), refund.version))
}

/// The event of an entry whose status changed. Its counts change without one.
fn of_entry(state: &State, changes: &Changes, entry: &Entry) -> Option<(AirlineEvent, i64)> {
    let was = state.entries.get(&entry.id).map(|was| was.status);
    let is_silent = planted!(end_of_an_offer_is_not_told) && was == Some(EntryStatus::Offered);
    if was == Some(entry.status) || is_silent {
        return None;
    }
    let id = entry.id.booking();
    let mut made = changes.bookings.iter().map(|change| &change.after);
    let offer = made.find(|booking| booking.id == id);
    let has_booking = offer.is_some() || state.bookings.contains_key(&id);
    let told = EntryChanged {
        waitlist_id: entry.id,
        flight_id: entry.flight_id,
        seats: entry.seats,
        mode: entry.mode,
        status: entry.status,
        reason: entry.reason,
        booking_id: has_booking.then_some(id),
        pay_by: offer.map(|booking| booking.hold_expires_at),
    };
    Some((AirlineEvent::EntryChanged(told), entry.version))
}
