//! A batch's rows on their way into its state. Unreadable rows are named there, so that only the commands
//! that need them fail.

use super::request_keys::{RequestRow, records};
use super::unreadable::Unreadable;
use crate::domain::{
    Booking, BookingId, Entry, EntryStatus, Flight, FlightId, Payment, PaymentKind,
    PaymentReference, Refund, UserId, WaitlistId,
};
use crate::rules::{IdempotencyRecord, RequestName, RowName, State, Wanted};
use crate::store::StoreError;
use crate::store::rows::fares::{FareRow, fare_rules};
use crate::store::rows::refunds::RefundRow;
use crate::store::rows::waitlist::EntryRow;
use crate::store::rows::{BookingRow, Columns, FlightRow, PaymentRow, instant, read};
use std::collections::BTreeSet;

/// A booking's idempotency key as stored: user, key, the request's hash, the booking, and when it was used
/// (`None` for an infinite instant).
pub(in crate::store) type KeyRow = (i64, String, String, i64, Option<i64>);

/// A state during its load.
pub(in crate::store) struct Loading<'u> {
    pub(in crate::store) state: State,
    unreadable: &'u Unreadable,
}

impl<'u> Loading<'u> {
    pub(in crate::store) fn new(unreadable: &'u Unreadable) -> Self {
        Self { state: State::default(), unreadable }
    }

    pub(in crate::store) fn flights<'r, D>(&mut self, rows: &'r [D])
    where
        D: sqlx::Row,
        FlightRow: sqlx::FromRow<'r, D>,
        usize: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        self.state.flights.reserve(rows.len());
        for row in rows {
            if let Some(flight) = self.read::<FlightRow, Flight, D>(row, flight_names) {
                self.state.flights.insert(flight.id, flight);
            }
        }
    }

    pub(in crate::store) fn bookings<'r, D>(&mut self, rows: &'r [D])
    where
        D: sqlx::Row,
        BookingRow: sqlx::FromRow<'r, D>,
        usize: sqlx::ColumnIndex<D>,
        &'static str: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        for row in rows {
            if let Some(booking) = self.read::<BookingRow, Booking, D>(row, booking_names) {
                self.state.add_booking(booking);
            }
        }
    }

    /// The bookings to load: those that are wanted and those that the loaded keys made.
    pub(in crate::store) fn bookings_wanted(&self, wanted: &Wanted) -> BTreeSet<BookingId> {
        let mut ids = wanted.bookings.clone();
        ids.extend(self.state.idempotency.values().map(|record| record.booking_id));
        ids.extend(self.state.requests.values().map(|record| BookingId(record.made)));
        ids
    }

    /// What changes of flight add to the loaded bookings and is not loaded yet: bookings that a loaded one replaces, and
    /// bookings of which all that replace them are missing. `None`: nothing. Each round loads more, three at most.
    pub(in crate::store) fn changes_wanted(
        &self,
        seen: &mut BTreeSet<BookingId>,
    ) -> Option<(Vec<i64>, Vec<i64>)> {
        let bookings = || self.state.bookings.values();
        let replaced = bookings().filter_map(|booking| booking.replaces);
        let replaced =
            replaced.filter(|id| !self.state.bookings.contains_key(id) && seen.insert(*id));
        let replaced: Vec<_> = replaced.map(|id| id.0).collect();
        let changed = bookings().filter(|booking| booking.has_changes).map(|booking| booking.id);
        let changed: Vec<_> = changed.filter(|id| seen.insert(*id)).map(|id| id.0).collect();
        let is_nothing = replaced.is_empty() && changed.is_empty();
        (!is_nothing).then_some((replaced, changed))
    }

    /// The payments whose refunds are loaded: those that are wanted, and of orders with changes all.
    pub(in crate::store) fn refunds_wanted(&self, wanted: &Wanted) -> BTreeSet<PaymentReference> {
        let mut all = wanted.refunds_of.clone();
        let is_difference = |payment: &&Payment| payment.kind == PaymentKind::Difference;
        if self.state.payments.values().any(|payment| is_difference(&payment)) {
            all.extend(self.state.payments.keys());
        }
        all
    }

    pub(in crate::store) fn payments<'r, D>(&mut self, rows: &'r [D])
    where
        D: sqlx::Row,
        PaymentRow: sqlx::FromRow<'r, D>,
        usize: sqlx::ColumnIndex<D>,
        &'static str: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        for row in rows {
            if let Some(payment) = self.read::<PaymentRow, Payment, D>(row, names_of_payment) {
                self.state.add_payment(payment);
            }
        }
    }

    pub(in crate::store) fn refunds<'r, D>(&mut self, rows: &'r [D])
    where
        D: sqlx::Row,
        RefundRow: sqlx::FromRow<'r, D>,
        usize: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        for row in rows {
            if let Some(refund) = self.read::<RefundRow, Refund, D>(row, refund_names) {
                self.state.refunds.insert(refund.id, refund);
            }
        }
    }

    /// Names of the fare rules of the loaded bookings.
    pub(in crate::store) fn fare_names(&self) -> BTreeSet<String> {
        self.state.bookings.values().map(|booking| booking.fare_rules.to_string()).collect()
    }

    /// Adds versions of fare rules, with fees in the currency of the loaded payments.
    pub(in crate::store) fn fares(&mut self, rows: Vec<FareRow>) {
        let Some(currency) = self.state.payments.values().next().map(|p| p.currency) else {
            return;
        };
        for row in rows {
            if let Some((since, rules)) = self.unreadable.leave_out(fare_rules(row, currency)) {
                self.state.fares.add(since, rules);
            }
        }
    }

    pub(in crate::store) fn entries<'r, D>(&mut self, rows: &'r [D])
    where
        D: sqlx::Row,
        EntryRow: sqlx::FromRow<'r, D>,
        usize: sqlx::ColumnIndex<D>,
        &'static str: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        for row in rows {
            if let Some(entry) = self.read::<EntryRow, Entry, D>(row, entry_names) {
                self.state.entries.insert(entry.id, entry);
            }
        }
    }

    /// The entries to load by id: those that are wanted and those that the loaded keys may have made.
    pub(in crate::store) fn entries_wanted(&self, wanted: &Wanted) -> BTreeSet<WaitlistId> {
        let mut ids = wanted.entries.clone();
        if !wanted.entrants.is_empty() {
            ids.extend(self.state.requests.values().map(|record| WaitlistId(record.made)));
        }
        ids
    }

    /// The bookings of the loaded entries with an offer.
    pub(in crate::store) fn offers(&self) -> BTreeSet<BookingId> {
        let offered = self.state.entries.values().filter(|e| e.status == EntryStatus::Offered);
        offered.map(|entry| entry.id.booking()).collect()
    }

    /// Adds idempotency keys of bookings.
    pub(in crate::store) fn keys(&mut self, rows: Vec<KeyRow>) {
        for (user, key, request_hash, booking, created_at) in rows {
            let Some(created_at) = created_at.and_then(instant) else {
                let (table, column) = ("idempotency_keys", "created_at");
                self.leave_out(
                    StoreError::Corrupt { table, column, row: key.clone() },
                    [RowName::Key(UserId(user), key.into())],
                );
                continue;
            };
            let record = IdempotencyRecord {
                user_id: UserId(user),
                key: key.into(),
                request_hash: request_hash.into(),
                booking_id: BookingId(booking),
                created_at,
            };
            self.state.idempotency.insert(record.name(), record);
        }
    }

    /// Adds idempotency keys of other routes.
    pub(in crate::store) fn requests(
        &mut self,
        names: &BTreeSet<RequestName>,
        rows: Vec<RequestRow>,
    ) {
        for (name, record) in records(names, rows) {
            match record {
                Ok(record) => _ = self.state.requests.insert(name, record),
                Err(error) => self.leave_out(error, [RowName::Request(name)]),
            }
        }
    }

    fn read<'r, R, T, D>(&mut self, row: &'r D, names: impl Fn(&'r D) -> Vec<RowName>) -> Option<T>
    where
        D: sqlx::Row,
        R: Columns + sqlx::FromRow<'r, D>,
        T: TryFrom<R, Error = StoreError>,
        usize: sqlx::ColumnIndex<D>,
        i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
        String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    {
        match read::<R, T, D>(row) {
            Ok(value) => Some(value),
            Err(error) => {
                self.leave_out(error, names(row));
                None
            }
        }
    }

    fn leave_out(&mut self, error: StoreError, names: impl IntoIterator<Item = RowName>) {
        if let Some(damage) = self.unreadable.damage(error) {
            let named = names.into_iter().map(|name| (name, damage.clone()));
            self.state.unreadable.extend(named);
        }
    }
}

fn flight_names<'r, D>(row: &'r D) -> Vec<RowName>
where
    D: sqlx::Row,
    usize: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    row.try_get(0).ok().map(FlightId).map(RowName::Flight).into_iter().collect()
}

fn booking_names<'r, D>(row: &'r D) -> Vec<RowName>
where
    D: sqlx::Row,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let number = row.try_get(0).ok().map(BookingId).map(RowName::Booking);
    let payment = row.try_get("payment_reference_id").ok();
    let payment = payment.and_then(|text: String| name_of_payment(&text));
    number.into_iter().chain(payment).collect()
}

/// Its own name, and that of its order's first payment: without one attempt the others can't be judged.
fn names_of_payment<'r, D>(row: &'r D) -> Vec<RowName>
where
    D: sqlx::Row,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let own = row.try_get(0).ok();
    let order = row.try_get("order_reference").ok();
    let names = [own, order].into_iter().flatten();
    names.filter_map(|text: String| name_of_payment(&text)).collect()
}

fn refund_names<'r, D>(row: &'r D) -> Vec<RowName>
where
    D: sqlx::Row,
    usize: sqlx::ColumnIndex<D>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let id = row.try_get(0).ok().and_then(|text: String| text.parse().ok());
    id.map(RowName::Refund).into_iter().collect()
}

/// Its own name, and that of its flight's line: without one entry no walk can be made.
fn entry_names<'r, D>(row: &'r D) -> Vec<RowName>
where
    D: sqlx::Row,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let own = row.try_get(0).ok().map(WaitlistId).map(RowName::Entry);
    let line = row.try_get("flight_id").ok().map(FlightId).map(RowName::Line);
    own.into_iter().chain(line).collect()
}

fn name_of_payment(text: &str) -> Option<RowName> {
    text.parse::<PaymentReference>().ok().map(RowName::Payment)
}
