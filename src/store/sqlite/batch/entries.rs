//! The sets of a commit's entries of waiting lists.

use super::sets::Set;
use crate::domain::{EndReason, Entry, EntryStatus, Money, PaymentMethod};
use crate::rules::EntryChange;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use serde::Serialize;

/// What changes of an entry after its joining.
fn progress(entry: &Entry) -> impl Serialize {
    (
        (entry.status.as_str(), entry.reason.map(EndReason::as_str)),
        (entry.overtaken, entry.passed_before, entry.gathers_until.map(micros)),
        (micros(entry.updated_at), entry.version),
    )
}

pub(super) fn update_entries(entries: &[&EntryChange]) -> Set {
    Set::new(
        "entries",
        "UPDATE waitlist SET
            status = c.value ->> '$[2][0][0]',
            reason = c.value ->> '$[2][0][1]',
            overtaken = c.value ->> '$[2][1][0]',
            passed_before = c.value ->> '$[2][1][1]',
            gathers_until = c.value ->> '$[2][1][2]',
            updated_at = c.value ->> '$[2][2][0]',
            version = c.value ->> '$[2][2][1]',
            passengers = CASE WHEN c.value ->> '$[2][0][0]' = 'waiting' THEN passengers END
           FROM jsonb_each(NEW.entries) AS c
          WHERE waitlist.id = c.value ->> 0 AND waitlist.version = c.value ->> 1",
        entries,
        |change| (change.after.id, change.was, progress(&change.after)),
    )
}

pub(super) fn insert_entries(entries: &[&EntryChange]) -> Set {
    Set::new(
        "new_entries",
        "INSERT OR IGNORE INTO waitlist (id, flight_id, user_id, place, seats, passengers, mode,
                payment_method, max_price, until, payment_reference_id, created_at, status, reason,
                overtaken, passed_before, gathers_until, updated_at, version)
         SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]',
                value ->> '$[0][4]', value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]',
                value ->> '$[1][3]', value ->> '$[1][4]', value ->> '$[1][5]', value ->> '$[1][6]',
                value ->> '$[2][0][0]', value ->> '$[2][0][1]', value ->> '$[2][1][0]',
                value ->> '$[2][1][1]', value ->> '$[2][1][2]', value ->> '$[2][2][0]',
                value ->> '$[2][2][1]'
           FROM jsonb_each(NEW.new_entries)",
        entries,
        |change| {
            let entry = &change.after;
            let is_waiting = entry.status == EntryStatus::Waiting;
            let passengers = entry.passengers.as_ref().filter(|_| is_waiting).map(json);
            let terms = (
                passengers,
                entry.mode.as_str(),
                entry.payment_method.as_ref().map(PaymentMethod::as_str),
                entry.max_price.map(Money::stored),
                entry.until.map(micros),
                entry.payment_reference,
                micros(entry.created_at),
            );
            let party = (entry.id, entry.flight_id, entry.user_id, entry.place, entry.seats);
            (party, terms, progress(entry))
        },
    )
}
