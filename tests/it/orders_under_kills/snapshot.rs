//! All flights, bookings, payments and refunds at one moment, and what no moment may show. Written apart from the
//! service's own audit.

use crate::support::TestDatabase;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, FromRow};
use std::collections::HashMap;

/// A connection to the service's database, beside the service.
pub enum Rows {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A struct whose fields are a row's columns, in their order.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $(pub $field: $kind),+
        }

        impl From<($($kind),+)> for $name {
            fn from(($($field),+): ($($kind),+)) -> Self {
                Self { $($field),+ }
            }
        }
    )+};
}

// Amounts are in paise.
rows! {
    FlightSeen { id: i64, total: i64, available: i64, held: i64 }
    BookingSeen {
        id: i64, order: i64, flight: i64, user: i64, segment: i64, segments: i64, status: String,
        seats: i64, price: i64, payment: String
    }
    PaymentSeen { reference: String, status: String, amount: i64 }
    RefundSeen { id: String, payment: String, booking: i64, amount: i64, status: String }
    /// A refund in the gateway's books, with what it had captured.
    GivenSeen { id: String, payment: String, amount: i64, captured: i64 }
}

#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub flights: Vec<FlightSeen>,
    pub bookings: Vec<BookingSeen>,
    pub payments: Vec<PaymentSeen>,
    pub refunds: Vec<RefundSeen>,
    pub given: Vec<GivenSeen>,
}

const FLIGHTS: &str = "
    SELECT id, CAST(total_seats AS BIGINT), CAST(available_seats AS BIGINT),
           CAST(held_seats AS BIGINT) FROM flights";

type BookingRow = (i64, i64, i64, i64, i64, i64, String, i64, i64, String);

const BOOKINGS: &str = "
    SELECT id, coalesce(order_id, id), flight_id, user_id, CAST(segment AS BIGINT),
           CAST(segments AS BIGINT), status, CAST(seats_booked AS BIGINT),
           CAST(PAISE(booking_price) AS BIGINT), payment_reference_id FROM bookings";

const PAYMENTS: &str = "SELECT reference, status, CAST(PAISE(amount) AS BIGINT) FROM payments";

const REFUNDS: &str = "
    SELECT id, payment_reference_id, booking_id, CAST(PAISE(amount) AS BIGINT), status
      FROM refunds";

const GIVEN: &str = "
    SELECT r.id, r.reference, CAST(PAISE(r.amount) AS BIGINT),
           CAST(PAISE(coalesce(l.amount, 0)) AS BIGINT)
      FROM gateway_refunds AS r
      LEFT JOIN gateway_ledger AS l ON l.reference = r.reference AND l.state = 'captured'";

impl Rows {
    pub async fn open(database: &TestDatabase) -> Self {
        match database {
            TestDatabase::Sqlite(_) => {
                let file = database.url().replacen("sqlite:", "", 1);
                let options = SqliteConnectOptions::new().filename(file);
                let connection = SqliteConnection::connect_with(&options).await;
                Self::Sqlite(connection.expect("a connection"))
            }
            TestDatabase::Postgres(url) => {
                Self::Postgres(PgConnection::connect(url).await.expect("a connection"))
            }
        }
    }

    pub async fn count(&mut self, query: &'static str) -> i64 {
        let count = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        };
        count.expect("a count")
    }

    /// `PAISE(column)` in a query is its amount.
    async fn all<R, T: From<R>>(&mut self, query: &str) -> Vec<T>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows: Result<Vec<R>, _> = match self {
            Self::Sqlite(connection) => {
                let query = query.replace("PAISE", "");
                sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await
            }
            Self::Postgres(connection) => {
                let query = query.replace("PAISE", "100 * ");
                sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await
            }
        };
        rows.expect("rows").into_iter().map(T::from).collect()
    }

    async fn run(&mut self, statement: &'static str) {
        let done = match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(statement).execute(connection).await.map(|_| ())
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(statement).execute(connection).await.map(|_| ())
            }
        };
        done.expect("done");
    }

    /// Reads all in one transaction that sees one moment.
    pub async fn snapshot(&mut self) -> Snapshot {
        self.run(match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        })
        .await;
        let flights = self.all::<(i64, i64, i64, i64), _>(FLIGHTS).await;
        let bookings = self.all::<BookingRow, _>(BOOKINGS).await;
        let payments = self.all::<(String, String, i64), _>(PAYMENTS).await;
        let refunds = self.all::<(String, String, i64, i64, String), _>(REFUNDS).await;
        let given = self.all::<(String, String, i64, i64), _>(GIVEN).await;
        self.run("COMMIT").await;
        Snapshot { flights, bookings, payments, refunds, given }
    }
}

impl Snapshot {
    /// Each order's first booking with its status: pending or completed while one of its bookings is.
    pub fn orders(&self) -> Vec<(i64, &str)> {
        let mut orders: HashMap<i64, &str> = HashMap::new();
        for booking in &self.bookings {
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
        let mut of_payment: HashMap<&str, Vec<&BookingSeen>> = HashMap::new();
        for booking in &self.bookings {
            of_payment.entry(&booking.payment).or_default().push(booking);
        }
        let mut refunds: HashMap<&str, Vec<&RefundSeen>> = HashMap::new();
        for refund in &self.refunds {
            refunds.entry(&refund.payment).or_default().push(refund);
        }
        for payment in &self.payments {
            let bookings = of_payment.remove(&*payment.reference).unwrap_or_default();
            let refunds = refunds.remove(&*payment.reference).unwrap_or_default();
            check_order(payment, &bookings, &refunds, &mut broken);
        }
        broken.extend(of_payment.keys().map(|payment| format!("bookings without {payment}")));
        broken.extend(refunds.keys().map(|payment| format!("refunds without {payment}")));
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
        let is_given = |refund: &&RefundSeen| self.given.iter().any(|given| given.id == refund.id);
        let done = self.refunds.iter().filter(|refund| refund.status == "done");
        broken.extend(done.filter(|r| !is_given(r)).map(|r| format!("done, and not given: {r:?}")));
    }
}

/// An order is whole, all its bookings are where its payment is, and its money adds up.
fn check_order(
    payment: &PaymentSeen,
    bookings: &[&BookingSeen],
    refunds: &[&RefundSeen],
    broken: &mut Vec<String>,
) {
    let mut segments: Vec<i64> = bookings.iter().map(|booking| booking.segment).collect();
    segments.sort_unstable();
    let count = bookings.len() as i64;
    let is_whole = !bookings.is_empty()
        && segments == (1..=count).collect::<Vec<_>>()
        && bookings.iter().all(|b| {
            b.segments == count && b.order == bookings[0].order && b.user == bookings[0].user
        });
    let all = |allowed: &[&str]| bookings.iter().all(|b| allowed.contains(&&*b.status));
    let is_settled_whole = match &*payment.status {
        "requested" => all(&["pending"]),
        "captured" => all(&["completed", "cancelled"]),
        "declined" => all(&["failed"]),
        _ => all(&["failed"]) || all(&["cancelled"]),
    };
    let is_paid = payment.status == "captured";
    let sold = bookings.iter().filter(|b| !is_paid || b.status == "completed");
    let price: i64 = sold.map(|booking| booking.price).sum();
    let refunded: i64 = refunds.iter().map(|refund| refund.amount).sum();
    let is_of_order = |refund: &&RefundSeen| bookings.iter().any(|b| b.id == refund.booking);
    let adds_up = payment.amount == price + refunded
        && refunds.iter().all(is_of_order)
        && (is_paid || refunds.is_empty());
    for (holds, what) in
        [(is_whole, "whole"), (is_settled_whole, "settled whole"), (adds_up, "conserved money")]
    {
        if !holds {
            broken.push(format!("not {what}: {payment:?} {bookings:?} {refunds:?}"));
        }
    }
}
