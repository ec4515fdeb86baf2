//! What a booking must not cost on PostgreSQL.

use crate::support::TestDatabase;
use crate::support::deployment::Opened;
use airline_booking::clock::SystemClock;
use airline_booking::store::postgres::WATCHED;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};
use std::sync::Arc;
use std::time::Duration;

async fn column(database: &TestDatabase, statement: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(&database.url()).await.expect("a connection");
    sqlx::query_scalar(statement).fetch_all(&mut connection).await.expect("rows")
}

#[tokio::test]
async fn no_index_covers_a_column_that_a_booking_updates() {
    let database = TestDatabase::postgres().await;
    database.open(Duration::ZERO, Arc::new(SystemClock)).await;
    // An index that covers a column, or has it in its condition, makes each update of that column
    // write to all of the table's indexes.
    let statement = "
        SELECT DISTINCT i.indexrelid::regclass || ' reads ' || a.attname
          FROM pg_index AS i
          JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                             AND d.refobjid = i.indrelid
          JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
         WHERE (i.indrelid = 'flights'::regclass AND a.attname IN
                   ('version', 'updated_at', 'available_seats', 'held_seats', 'blocked_seats',
                    'total_seats'))
            OR (i.indrelid = 'bookings'::regclass AND a.attname IN
                   ('status', 'failure_reason', 'updated_at'))";
    assert_eq!(column(&database, statement).await, [""; 0]);
}

#[tokio::test]
async fn statistics_follow_a_table_that_grows() {
    let database = TestDatabase::postgres().await;
    let Opened { store, .. } = database.open(Duration::ZERO, Arc::new(SystemClock)).await;
    let analyzed = "SELECT relname::text FROM pg_class WHERE relname IN ('bookings', 'payments')
                       AND reltuples > 0 ORDER BY 1";
    store.renew_statistics().await.expect("nothing has grown");
    assert_eq!(column(&database, analyzed).await, [""; 0]);
    database
        .plant(
            "INSERT INTO payments (reference, amount, currency, method, status, created_at,
                                   updated_at)
             SELECT 'PAY-' || n, 1, 'INR', 'pm_card_visa', 'declined', 'epoch', 'epoch'
               FROM generate_series(1, 10000) AS n",
        )
        .await;
    store.renew_statistics().await.expect("renewed");
    assert_eq!(column(&database, analyzed).await, ["payments"], "the one that has grown");
}

#[tokio::test]
async fn reading_payment_requests_skips_waiting_events() {
    let database = TestDatabase::postgres().await;
    database.open(Duration::ZERO, Arc::new(SystemClock)).await;
    database
        .plant(
            "INSERT INTO outbox (messages, since, body, lane)
             SELECT 1, 'epoch', '[]', 'facts' FROM generate_series(1, 50000)",
        )
        .await;
    let mut connection = PgConnection::connect(&database.url()).await.expect("a connection");
    let session = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off";
    sqlx::raw_sql(session).execute(&mut connection).await.expect("a session");
    // Also before anything has counted the table's rows.
    for analyze in ["SELECT 1", "ANALYZE outbox"] {
        sqlx::raw_sql(analyze).execute(&mut connection).await.expect("done");
        let plan: Vec<String> = sqlx::query_scalar(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF)
             SELECT * FROM outbox WHERE lane = $1 AND id > $2 AND id <> ALL ($3)
              ORDER BY id LIMIT 1024",
        )
        .bind("requests")
        .bind(i64::MIN)
        .bind(Vec::<i64>::new())
        .fetch_all(&mut connection)
        .await
        .expect("a plan");
        let plan = plan.join("\n");
        assert!(plan.contains("outbox_by_lane"), "{plan}");
        assert!(!plan.contains("Rows Removed by Filter"), "{plan}");
    }
}

/// 30,000 orders of two flights, each tenth with a refund; 20,000 entries of waiting lists, of which each twentieth waits
/// for one of 100 flights, and each hundredth has an open offer.
const MANY_ORDERS: [&str; 8] = [
    "INSERT INTO flights (id, source, destination, route, timestamp, available_seats, total_seats,
                          price, currency, created_at, updated_at)
     SELECT n, 'A', 'B', 'a#b', 'epoch', 9, 9, 10, 'INR', 'epoch', 'epoch'
       FROM generate_series(1, 20000) AS n",
    "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
     SELECT 'PAY-' || n, 20, 'INR', 'pm_card_visa', 'captured', 'epoch', 'epoch'
       FROM generate_series(1, 30000) AS n",
    "INSERT INTO bookings (id, flight_id, user_id, status, payment_reference_id, booking_price,
                           seats_booked, hold_expires_at, created_at, updated_at, order_id, segment,
                           segments)
     SELECT 2 * n + s, 1 + (n * 7919 + s) % 20000, n, 'completed', 'PAY-' || n, 10, 1, 'epoch',
            'epoch', 'epoch', CASE s WHEN 1 THEN 2 * n END, s + 1, 2
       FROM generate_series(1, 30000) AS n, generate_series(0, 1) AS s",
    "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
     SELECT reference, amount, method, status, updated_at FROM payments",
    "INSERT INTO refunds (id, payment_reference_id, booking_id, amount, reason, status, created_at,
                          updated_at)
     SELECT 'REF-' || n, 'PAY-' || n, 2 * n, 10, 'traveller', 'done', 'epoch', 'epoch'
       FROM generate_series(1, 30000, 10) AS n",
    "INSERT INTO gateway_refunds (id, reference, amount, updated_at)
     SELECT id, payment_reference_id, amount, updated_at FROM refunds",
    "INSERT INTO waitlist (id, flight_id, user_id, place, seats, mode, status, payment_reference_id,
                           created_at, updated_at)
     SELECT 2 * n, 1 + n % 100, n, n, 1 + n % 6, 'ask',
            CASE WHEN n % 20 = 0 THEN 'waiting' WHEN n % 100 = 1 THEN 'offered' ELSE 'left' END,
            'PAY-' || n, 'epoch', 'epoch'
       FROM generate_series(1, 20000) AS n",
    "UPDATE flights AS f SET waiting = w.parties
       FROM (SELECT flight_id, count(*) AS parties FROM waitlist WHERE status = 'waiting'
              GROUP BY flight_id) AS w
      WHERE w.flight_id = f.id",
];

/// Maximum pages that a statement touches. The drift check touches most: some twenty for each of 512 bookings. A
/// statement that looks at every row of these tables touches more.
const PAGES_MAX: u64 = 20_000;

/// The types of the parameters of a list of flights.
const LISTED: &str = "bigint, bigint, bigint, text, text, bigint";

/// The types and values of a watched statement's parameters.
fn parameters(name: &str) -> (&'static str, &'static str) {
    match name {
        "bookings_of_user" => ("bigint, bigint, text, bigint", "7, 9223372036854775807, NULL, 101"),
        "bookings_of_flight" => ("bigint, bigint, text, bigint", "7, -1, NULL, 101"),
        "flights_listed" => (LISTED, "-1, 0, 4102444800000000, NULL, NULL, 101"),
        "flights_listed_by_status" => (LISTED, "-1, 0, 4102444800000000, NULL, 'delayed', 101"),
        "flights_listed_by_route" => (LISTED, "-1, 0, 4102444800000000, 'a#b', NULL, 101"),
        "flights_listed_by_source" | "flights_listed_by_destination" => {
            (LISTED, "-1, 0, 4102444800000000, 'c', NULL, 101")
        }
        "lapsed_holds" | "unanswered_payments" | "unanswered_refunds" => {
            ("bigint, bigint, text, bigint", "4102444800000000, NULL, '', 1000")
        }
        "stranded_bookings" => ("bigint, bigint, bigint", "1000, -1, -1"),
        "outbox" => ("bigint, bigint, bigint[], text, bigint", "1000, 1024, '{}', 'requests', -1"),
        "backlog" => ("bigint, bigint, bigint", "4102444800000000, 4102444800000000, 100000"),
        "lines_to_serve" => ("bigint, bigint, bigint, bigint", "4102444800000000, 0, -1, 512"),
        "take_message" => ("text, bigint, bigint", "'mail', 4102444800000000, 4102444800000000"),
        "unserved_lines" => ("bigint, bigint", "4102444800000000, 256"),
        "entries_wanted" => {
            ("bigint[], bigint[], bigint[], bigint[]", "'{1004}', '{7}', '{8}', '{9}'")
        }
        "count_seats" | "compare_payments" => {
            ("bigint, bigint, bigint, bigint[]", "256, 4711, 256, '{9, 99}'")
        }
        other => panic!("no parameters for {other}"),
    }
}

#[tokio::test]
async fn no_watched_statement_reads_a_whole_table() {
    let database = TestDatabase::postgres().await;
    for rows in MANY_ORDERS {
        assert!(database.plant(rows).await > 0);
    }
    let mut connection = PgConnection::connect(&database.url()).await.expect("a connection");
    let session = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
                   SET jit = off; ANALYZE";
    sqlx::raw_sql(session).execute(&mut connection).await.expect("a session");
    for (name, statement) in WATCHED {
        let (types, values) = parameters(name);
        let prepare = AssertSqlSafe(format!("PREPARE {name} ({types}) AS {statement}"));
        sqlx::raw_sql(prepare).execute(&mut connection).await.expect("prepared");
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {name} ({values})");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await;
        let plan: Vec<String> = plan.expect("a plan").iter().map(|row| row.get(0)).collect();
        // The first line of buffers counts the pages of the whole statement.
        let buffers = plan.iter().find(|line| line.trim().starts_with("Buffers:"));
        let words = buffers.map(|line| line.split([' ', '='])).into_iter().flatten();
        let pages: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
        // The table of the unit of money has one row.
        let is_walk = |line: &String| line.contains("Seq Scan") && !line.contains("money_unit");
        let walks = plan.iter().any(is_walk);
        assert!(!walks && pages < PAGES_MAX, "{name}: {pages} pages\n{}", plan.join("\n"));
    }
}

#[tokio::test]
async fn a_list_of_flights_reads_those_that_it_shows_and_no_others() {
    let database = TestDatabase::postgres().await;
    database.plant(MANY_ORDERS[0]).await;
    let moved = "UPDATE flights SET timestamp = instant(id * 1000000)";
    assert_eq!(database.plant(moved).await, 20_000);
    let rare = "UPDATE flights SET flight_status = 'cancelled', source = 'C', route = 'c#d'
                 WHERE id = 17000";
    assert_eq!(database.plant(rare).await, 1);
    let mut connection = PgConnection::connect(&database.url()).await.expect("a connection");
    let session = "SET plan_cache_mode = force_generic_plan; SET jit = off; ANALYZE";
    sqlx::raw_sql(session).execute(&mut connection).await.expect("a session");
    for (name, key, status, index) in [
        ("flights_listed", "NULL", "NULL", "flights_by_departure"),
        ("flights_listed_by_status", "NULL", "'cancelled'", "flights_by_status"),
        ("flights_listed_by_route", "'c#d'", "NULL", "flights_by_route"),
        ("flights_listed_by_source", "'c'", "NULL", "flights_by_source"),
        ("flights_listed_by_destination", "'d'", "NULL", "flights_by_destination"),
    ] {
        let listed = WATCHED.iter().find(|(watched, _)| *watched == name);
        let (_, statement) = listed.expect("a statement");
        let prepare = AssertSqlSafe(format!("PREPARE {name} ({LISTED}) AS {statement}"));
        sqlx::raw_sql(prepare).execute(&mut connection).await.expect("prepared");
        let values = format!("100000000, 0, 4102444800000000, {key}, {status}, 101");
        let explain = format!("EXPLAIN (ANALYZE, TIMING OFF) EXECUTE {name} ({values})");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await;
        let plan: Vec<String> = plan.expect("a plan").iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Rows Removed"), "{name}:\n{plan}");
    }
}
