//! Each row that `airline-events` speaks of has its events there.

use super::ports::rows::Rows;
use super::world::World;
use airline_booking::domain::{Booking, BookingStatus, EntryStatus, Order};
use airline_booking::messages::Topic;
use std::collections::{BTreeMap, BTreeSet};

/// Which events are missing.
pub(super) fn faults(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    let published = world.broker.published(Topic::AirlineEvents);
    let own = published.iter().filter(|record| !record.is_foreign);
    let told: BTreeSet<&str> =
        own.filter_map(|record| record.message.headers.get("ce_id")).collect();
    let due = [of_refunds(rows), of_lines(rows), of_orders(rows), of_changes(rows)];
    let missing = due.iter().flatten().filter(|id| !told.contains(&***id));
    violations.extend(missing.map(|id| format!("told: {id} is missing")));
    for id in of_disputes(rows) {
        if !told.iter().any(|told| told.starts_with(&id)) {
            violations.push(format!("told: {id} is missing"));
        }
    }
}

/// An event for each change of a refund.
fn of_refunds(rows: &Rows) -> Vec<String> {
    let changes = rows.history.iter().flat_map(|changes| &changes.refunds);
    let refunds = changes.map(|change| &change.after);
    refunds.map(|it| format!("refund.{}/{}/{}", it.status.as_str(), it.id, it.version)).collect()
}

/// The first and the last event of each entry of a line, and of its offer if there was one.
fn of_lines(rows: &Rows) -> Vec<String> {
    let mut due = Vec::new();
    for entry in rows.entries.values() {
        let id = entry.id;
        due.push(format!("waitlist.joined/{id}"));
        if rows.bookings.contains_key(&id.booking()) {
            due.push(format!("waitlist.offered/{id}"));
        }
        if entry.status != EntryStatus::Waiting {
            due.push(format!("waitlist.{}/{id}", entry.status.as_str()));
        }
    }
    due
}

/// What became of each order of several flights.
fn of_orders(rows: &Rows) -> Vec<String> {
    let mut orders: BTreeMap<_, Vec<&Booking>> = BTreeMap::new();
    for booking in rows.bookings.values().filter(|booking| booking.segments > 1) {
        orders.entry(booking.order_id).or_default().push(booking);
    }
    let word = |order: &[&Booking]| Order::status_of(order.iter().copied()).as_str();
    orders.iter().map(|(id, order)| format!("itinerary.{}/{id}", word(order))).collect()
}

/// The changes of flight that were declined or have lapsed.
fn of_changes(rows: &Rows) -> Vec<String> {
    let failed = rows.bookings.values().filter(|it| it.status == BookingStatus::Failed);
    let of = |it: &Booking| Some(format!("booking.change_ended/{}/{}", it.replaces?, it.id));
    failed.filter_map(of).collect()
}

/// How the ids of disputes begin, which end with a version.
fn of_disputes(rows: &Rows) -> Vec<String> {
    let word = |status: &str| if status == "open" { "opened" } else { status }.to_owned();
    let payments = rows.payments.values();
    payments
        .filter_map(|it| Some((it.dispute?.as_str(), it.reference)))
        .map(|(status, payment)| format!("dispute.{}/{payment}/", word(status)))
        .collect()
}
