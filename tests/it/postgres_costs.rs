//! What a booking must not cost on PostgreSQL.

use crate::support::TestDatabase;
use crate::support::deployment::Opened;
use airline_booking::clock::SystemClock;
use sqlx::{Connection, PgConnection};
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
