//! All flights, bookings, payments and refunds at one moment, and what no moment may show. Written apart from the
//! service's own audit. It knows orders that one payment pays, and the differences of their changes.

mod reader;
mod rules;

pub use reader::Reader;

use crate::support::TestDatabase;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, FromRow};

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
        seats: i64, price: i64, fee: i64, payment: String, replaces: Option<i64>
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

type BookingRow = (i64, i64, i64, i64, i64, i64, String, i64, i64, i64, String, Option<i64>);

const BOOKINGS: &str = "
    SELECT id, coalesce(order_id, id), flight_id, user_id, CAST(segment AS BIGINT),
           CAST(segments AS BIGINT), status, CAST(seats_booked AS BIGINT),
           CAST(PAISE(booking_price) AS BIGINT), CAST(PAISE(fee) AS BIGINT),
           payment_reference_id, replaces FROM bookings";

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
