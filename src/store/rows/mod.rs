//! What both adapters share: statements that both run, and rows and their conversion to domain values.
//!
//! Instants are microseconds since 1970; money is counted as in [`Money::from_stored`]. Each store's
//! columns convert its own types.

pub(in crate::store) mod audit;
pub(in crate::store) mod fares;
pub(in crate::store) mod history;
pub(in crate::store) mod lists;
pub(in crate::store) mod loaded;
pub(in crate::store) mod messages;
pub(in crate::store) mod orders;
mod payments;
pub(in crate::store) mod refunds;
pub(in crate::store) mod request_keys;
pub(in crate::store) mod sales;
pub(in crate::store) mod sql;
pub(in crate::store) mod unreadable;
pub(in crate::store) mod waitlist;
pub(in crate::store) mod webhooks;

use crate::domain::{
    Booking, BookingId, Currency, FailureReason, FareName, Flight, FlightId, Line, Money,
    Passenger, PassengerStatus, Places, Timestamp, UserId, stored_flight_number,
};
use crate::store::{Position, StoreError};
use std::sync::Arc;

pub(in crate::store) use payments::{PaymentAskedRow, PaymentRow, payments_asked, reference};

/// An instant in microseconds since 1970.
pub(in crate::store) fn micros(instant: Timestamp) -> i64 {
    instant.timestamp_micros()
}

pub(in crate::store) fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_timestamp_micros(micros)
}

/// A table's row: its table and columns.
pub(in crate::store) trait Columns {
    const TABLE: &'static str;
    const COLUMNS: &'static [&'static str];
}

/// A row whose columns are read by the names of its fields.
macro_rules! row {
    (struct $name:ident of $table:literal { $($column:ident: $type:ty,)+ }) => {
        #[derive(Debug)]
        pub(in crate::store) struct $name {
            $($column: $type,)+
        }

        impl Columns for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column),)+];
        }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)+
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($column: row.try_get(stringify!($column))?,)+ })
            }
        }
    };
}

use row;

/// Names the row and column of an unreadable value.
struct Cell {
    table: &'static str,
    row: String,
}

impl Cell {
    fn read<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt {
            table: self.table,
            column,
            row: self.row.clone(),
        })
    }
}

row! {
    struct FlightRow of "flights" {
        id: i64,
        flight_number: Option<String>,
        source: String,
        destination: String,
        timestamp: i64,
        arrival_timestamp: Option<i64>,
        available_seats: i32,
        held_seats: i32,
        blocked_seats: i32,
        total_seats: i32,
        flight_status: String,
        price: i64,
        taxes: i64,
        fare_rules: Option<String>,
        currency: String,
        waiting: i32,
        serve_due: bool,
        gathers_until: Option<i64>,
        passed: i32,
        passed_max: Option<i32>,
        version: i64,
        created_at: i64,
        updated_at: i64,
    }
}

impl TryFrom<FlightRow> for Flight {
    type Error = StoreError;

    fn try_from(row: FlightRow) -> Result<Self, StoreError> {
        let cell = Cell { table: FlightRow::TABLE, row: row.id.to_string() };
        let arrives_at =
            row.arrival_timestamp.map(|at| cell.read("arrival_timestamp", instant(at)));
        let currency: Currency = cell.read("currency", row.currency.parse().ok())?;
        let gathers_until = row.gathers_until.map(|at| cell.read("gathers_until", instant(at)));
        Ok(Self {
            id: FlightId(row.id),
            flight_number: row.flight_number.map(|text| stored_flight_number(text).into()),
            source: row.source.into(),
            destination: row.destination.into(),
            departs_at: cell.read("timestamp", instant(row.timestamp))?,
            arrives_at: arrives_at.transpose()?,
            available_seats: row.available_seats,
            held_seats: row.held_seats,
            blocked_seats: row.blocked_seats,
            total_seats: row.total_seats,
            flight_status: cell.read("flight_status", row.flight_status.parse().ok())?,
            price: Money::from_stored(row.price, currency.decimals()),
            taxes: Money::from_stored(row.taxes, currency.decimals()),
            fare_rules: FareName::from_stored(row.fare_rules),
            currency,
            line: Line {
                waiting: row.waiting,
                serve_due: row.serve_due,
                gathers_until: gathers_until.transpose()?,
                passed: row.passed,
                passed_max: row.passed_max,
            },
            version: row.version,
            created_at: cell.read("created_at", instant(row.created_at))?,
            updated_at: cell.read("updated_at", instant(row.updated_at))?,
        })
    }
}

row! {
    struct BookingRow of "bookings" {
        id: i64,
        flight_id: i64,
        user_id: i64,
        status: String,
        failure_reason: Option<String>,
        payment_reference_id: String,
        booking_price: i64,
        booking_taxes: i64,
        fee: i64,
        fare_rules: Option<String>,
        sold_departure: Option<i64>,
        sold_at: Option<i64>,
        replaces: Option<i64>,
        has_changes: bool,
        order_id: i64,
        segment: i32,
        segments: i32,
        cancelled_passengers: Option<String>,
        extended: bool,
        erased: bool,
        version: i64,
        seats_booked: i32,
        booking_metadata: Option<String>,
        hold_expires_at: i64,
        created_at: i64,
        updated_at: i64,
        decimals: i32,
    }
}

impl TryFrom<BookingRow> for Booking {
    type Error = StoreError;

    fn try_from(row: BookingRow) -> Result<Self, StoreError> {
        let cell = Cell { table: BookingRow::TABLE, row: row.id.to_string() };
        let passengers = row
            .booking_metadata
            .map(|json| cell.read("booking_metadata", serde_json::from_str(&json).ok()));
        let cancelled: Places = row
            .cancelled_passengers
            .map(|json| cell.read("cancelled_passengers", places(&json)))
            .transpose()?
            .unwrap_or_default();
        let failure_reason =
            row.failure_reason.map(|reason| cell.read("failure_reason", reason.parse().ok()));
        let sold_departure = row.sold_departure.map(|at| cell.read("sold_departure", instant(at)));
        let sold_at = row.sold_at.map(|at| cell.read("sold_at", instant(at)));
        let decimals = cell.read("decimals", u8::try_from(row.decimals).ok())?;
        Ok(Self {
            id: BookingId(row.id),
            order_id: BookingId(row.order_id),
            segment: row.segment,
            segments: row.segments,
            flight_id: FlightId(row.flight_id),
            user_id: UserId(row.user_id),
            status: cell.read("status", row.status.parse().ok())?,
            failure_reason: failure_reason.transpose()?,
            payment_reference: cell
                .read("payment_reference_id", row.payment_reference_id.parse().ok())?,
            booking_price: Money::from_stored(row.booking_price, decimals),
            booking_taxes: Money::from_stored(row.booking_taxes, decimals),
            fee: Money::from_stored(row.fee, decimals),
            fare_rules: FareName::from_stored(row.fare_rules),
            sold_departure: sold_departure.transpose()?,
            was: None,
            erased: row.erased,
            sold_at: sold_at.transpose()?,
            replaces: row.replaces.map(BookingId),
            has_changes: row.has_changes,
            seats_booked: row.seats_booked,
            passengers: passengers.transpose()?.map(|all| with_status(all, &cancelled)),
            cancelled,
            extended: row.extended,
            hold_expires_at: cell.read("hold_expires_at", instant(row.hold_expires_at))?,
            created_at: cell.read("created_at", instant(row.created_at))?,
            updated_at: cell.read("updated_at", instant(row.updated_at))?,
            version: row.version,
            is_rewritten: false,
        })
    }
}

/// The stored places of cancelled passengers.
fn places(json: &str) -> Option<Places> {
    serde_json::from_str::<Vec<u16>>(json).ok().map(Places::from_vec)
}

/// Passengers with the status of those whose seats were given back.
fn with_status(mut passengers: Arc<[Passenger]>, cancelled: &Places) -> Arc<[Passenger]> {
    if let Some(passengers) = Arc::get_mut(&mut passengers) {
        for place in cancelled {
            if let Some(passenger) = passengers.get_mut(usize::from(*place)) {
                passenger.status = Some(PassengerStatus::Cancelled);
            }
        }
    }
    passengers
}

/// A row's position in the order of last changes. `key`: the column of its payment reference or id.
pub(in crate::store) fn position_of<'r, D>(
    row: &'r D,
    key: &'static str,
) -> Result<Position, sqlx::Error>
where
    D: sqlx::Row,
    &'static str: sqlx::ColumnIndex<D>,
    Option<i64>: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    Ok(Position { at: row.try_get("updated_at")?, reference: row.try_get(key)? })
}

/// Reads a domain value from a driver's row. A value of the wrong type or out of range is as corrupt as an
/// unknown one.
pub(in crate::store) fn read<'r, R, T, D>(row: &'r D) -> Result<T, StoreError>
where
    D: sqlx::Row,
    R: Columns + sqlx::FromRow<'r, D>,
    T: TryFrom<R, Error = StoreError>,
    usize: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let error = match R::from_row(row) {
        Ok(row) => return T::try_from(row),
        Err(error) => error.to_string(),
    };
    // The first column is the key. The error names the column: the longest name that it contains.
    let key = row.try_get::<i64, _>(0).map(|id| id.to_string()).or_else(|_| row.try_get(0));
    let named = R::COLUMNS.iter().filter(|column| error.contains(**column));
    Err(StoreError::Corrupt {
        table: R::TABLE,
        column: named.max_by_key(|column| column.len()).unwrap_or(&"a column"),
        row: key.unwrap_or_else(|_| "without a key".to_owned()),
    })
}

/// A booking's number, and why it failed.
pub(in crate::store) type FailureRow = (i64, Option<String>);

/// The adopted bookings of a page of at most `limit` rows, and the number after which the next page begins;
/// `None` after the last one.
pub(in crate::store) fn adopted(
    page: &[FailureRow],
    limit: usize,
) -> (Vec<BookingId>, Option<BookingId>) {
    let next = page.last().filter(|_| page.len() >= limit).map(|(id, _)| BookingId(*id));
    let is_adopted =
        |reason: &Option<String>| reason.as_deref() == Some(FailureReason::Adopted.as_str());
    let adopted = page.iter().filter(|(_, reason)| is_adopted(reason));
    (adopted.map(|(id, _)| BookingId(*id)).collect(), next)
}

/// Domain values of rows.
pub(in crate::store) fn all<R, T: TryFrom<R, Error = StoreError>>(
    rows: Vec<R>,
) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}
