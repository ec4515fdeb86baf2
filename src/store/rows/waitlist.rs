//! Rows of waiting lists.

use super::{Cell, Columns, instant, row};
use crate::domain::{
    Entry, FlightId, Money, PaymentMethod, SeatCount, Timestamp, UserId, WaitlistId,
};
use crate::store::StoreError;
use crate::store::roles::waitlist::{Ahead, EntryRecord};

row! {
    struct EntryRow of "waitlist" {
        id: i64,
        flight_id: i64,
        user_id: i64,
        place: i64,
        seats: i32,
        passengers: Option<String>,
        mode: String,
        payment_method: Option<String>,
        max_price: Option<i64>,
        until: Option<i64>,
        status: String,
        reason: Option<String>,
        overtaken: i32,
        passed_before: Option<i32>,
        gathers_until: Option<i64>,
        payment_reference_id: String,
        created_at: i64,
        updated_at: i64,
        version: i64,
        decimals: i32,
    }
}

impl TryFrom<EntryRow> for Entry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let cell = Cell { table: EntryRow::TABLE, row: row.id.to_string() };
        let at = |column, micros: Option<i64>| -> Result<Option<Timestamp>, StoreError> {
            micros.map(|micros| cell.read(column, instant(micros))).transpose()
        };
        let passengers =
            row.passengers.map(|json| cell.read("passengers", serde_json::from_str(&json).ok()));
        let method =
            row.payment_method.map(|token| cell.read("payment_method", PaymentMethod::new(&token)));
        let decimals = cell.read("decimals", u8::try_from(row.decimals).ok())?;
        Ok(Self {
            id: WaitlistId(row.id),
            flight_id: FlightId(row.flight_id),
            user_id: UserId(row.user_id),
            place: row.place,
            seats: row.seats,
            passengers: passengers.transpose()?,
            mode: cell.read("mode", row.mode.parse().ok())?,
            payment_method: method.transpose()?,
            max_price: row.max_price.map(|price| Money::from_stored(price, decimals)),
            until: at("until", row.until)?,
            status: cell.read("status", row.status.parse().ok())?,
            reason: row.reason.map(|word| cell.read("reason", word.parse().ok())).transpose()?,
            overtaken: row.overtaken,
            passed_before: row.passed_before,
            gathers_until: at("gathers_until", row.gathers_until)?,
            payment_reference: cell
                .read("payment_reference_id", row.payment_reference_id.parse().ok())?,
            created_at: cell.read("created_at", instant(row.created_at))?,
            updated_at: cell.read("updated_at", instant(row.updated_at))?,
            version: row.version,
        })
    }
}

/// An entry and its place, of a row of [`entry_record!`].
pub(in crate::store) fn record<'r, D>(row: &'r D) -> Result<EntryRecord, StoreError>
where
    D: sqlx::Row,
    EntryRow: sqlx::FromRow<'r, D>,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    i32: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let entry: Entry = super::read::<EntryRow, Entry, D>(row)?;
    let cell = Cell { table: "flights", row: entry.flight_id.to_string() };
    let status: Option<String> = row.try_get("flight_status").ok();
    let count = |column| cell.read(column, row.try_get::<i64, _>(column).ok());
    let seats = SeatCount::try_from(count("seats_ahead")?).ok();
    Ok(EntryRecord {
        ahead: Ahead { parties: count("parties_ahead")?, seats: cell.read("seats_ahead", seats)? },
        passed: cell.read("passed", row.try_get("passed").ok())?,
        flight_status: cell.read("flight_status", status.and_then(|word| word.parse().ok()))?,
        entry,
    })
}

/// Reads an entry, and its place in the line. `$1` is its id.
macro_rules! entry_record {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            ", (SELECT passed FROM flights AS f WHERE f.id = waitlist.flight_id) AS passed,
               (SELECT flight_status FROM flights AS f WHERE f.id = waitlist.flight_id) AS flight_status,
               (SELECT count(*) FROM waitlist AS w
                 WHERE w.flight_id = waitlist.flight_id AND w.status = 'waiting'
                   AND w.place < waitlist.place) AS parties_ahead,
               (SELECT coalesce(sum(w.seats), 0) FROM waitlist AS w
                 WHERE w.flight_id = waitlist.flight_id AND w.status = 'waiting'
                   AND w.place < waitlist.place) AS seats_ahead
               FROM waitlist WHERE id = $1"
        )
    };
}

/// The flights whose line has something to do: `$1` is now, `$2` the latest departure that is
/// closed, `$3` the flight after which the page begins, `$4` its length.
macro_rules! lines_to_serve {
    ($now:literal, $closing:literal) => {
        concat!(
            "SELECT f.id FROM flights AS f
              WHERE f.waiting > 0 AND f.id > $3
                AND (f.serve_due OR f.gathers_until <= ",
            $now,
            "    OR f.flight_status NOT IN ('scheduled', 'on_time', 'delayed')
                  OR (f.timestamp > f.created_at AND f.timestamp <= ",
            $closing,
            ")
                  OR EXISTS (
                     SELECT 1 FROM waitlist AS w
                      WHERE w.flight_id = f.id AND w.status = 'waiting'
                        AND (w.until <= ",
            $now,
            "          OR (f.gathers_until IS NULL
                             AND w.seats <= f.available_seats - f.held_seats
                             AND (w.max_price IS NULL OR f.price <= w.max_price)))))
             UNION
             SELECT w.flight_id FROM waitlist AS w JOIN bookings AS b ON b.id = w.id
              WHERE w.status = 'offered' AND b.status <> 'pending' AND w.flight_id > $3
              ORDER BY 1 LIMIT $4"
        )
    };
}

/// The flights whose line stays unserved: `$1` is the instant before which it must have been served, `$2` their maximum
/// number. A flight's row changes with its line and its seats, so `updated_at` is at least as late as what makes a walk
/// due.
macro_rules! unserved_lines {
    ($before:literal) => {
        concat!(
            "SELECT f.id FROM flights AS f
              WHERE f.waiting > 0
                AND (f.gathers_until < ",
            $before,
            "     OR f.updated_at < ",
            $before,
            "        AND (f.serve_due
                          OR f.gathers_until IS NULL
                             AND EXISTS (
                                SELECT 1 FROM waitlist AS w
                                 WHERE w.flight_id = f.id AND w.status = 'waiting'
                                   AND w.seats <= f.available_seats - f.held_seats
                                   AND (w.max_price IS NULL OR f.price <= w.max_price))))
              ORDER BY f.id LIMIT $2"
        )
    };
}

/// Counts the entries that wait, and the open offers.
pub(in crate::store) const COUNT_ENTRIES: &str = "
SELECT (SELECT coalesce(sum(waiting), 0) FROM flights WHERE waiting > 0),
       (SELECT count(*) FROM waitlist AS w JOIN bookings AS b ON b.id = w.id
         WHERE w.status = 'offered' AND b.status = 'pending')";

pub(in crate::store) use {entry_record, lines_to_serve, unserved_lines};
