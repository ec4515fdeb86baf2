//! The shipped templates.

use std::collections::HashMap;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!($name)),)+]
    };
}

/// The texts by name.
pub(super) fn texts() -> HashMap<String, String> {
    let files = files![
        "layout.txt",
        "layout.html",
        "booking.held.txt",
        "booking.held.sms",
        "booking.completed.txt",
        "booking.completed.sms",
        "booking.failed.txt",
        "booking.failed.sms",
        "booking.cancelled.txt",
        "booking.cancelled.sms",
        "booking.changed.txt",
        "booking.change_ended.txt",
        "booking.change_ended.sms",
        "itinerary.completed.txt",
        "itinerary.completed.sms",
        "itinerary.failed.txt",
        "itinerary.failed.sms",
        "itinerary.cancelled.txt",
        "itinerary.cancelled.sms",
        "refund.done.txt",
        "refund.failed.txt",
        "waitlist.offered.txt",
        "waitlist.offered.sms",
        "waitlist.promoted.txt",
        "waitlist.promoted.sms",
        "waitlist.lapsed.txt",
        "waitlist.lapsed.sms",
        "flight.moved.txt",
        "flight.moved.sms",
        "dispute.opened.txt",
        "dispute.won.txt",
        "dispute.lost.txt",
    ];
    files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}
