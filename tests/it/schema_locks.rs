//! Migrations while another session locks a table. On PostgreSQL.

use crate::support::TestDatabase;
use crate::support::eventually;
use crate::support::process::run_with;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

/// How long what must happen may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

async fn session(url: &str, statements: &'static str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.expect("a session");
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("statements");
    connection
}

/// Waits until a session of the database waits for a table.
async fn somebody_waits(watcher: &mut PgConnection) {
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    eventually("a session that waits for a table", async || {
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *watcher).await.expect("a look")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waiting_for_a_lock_blocks_nobody_and_names_the_holder() {
    let url = TestDatabase::empty_postgres().await.url();
    let specified = include_str!("../../migrations/postgres/0001_specified.sql");
    let mut watcher = session(&url, specified).await;
    let reads = "SET application_name = 'long report'; BEGIN; SELECT count(*) FROM flights";
    let mut reader = session(&url, reads).await;

    let (database, directory) = (url.clone(), tempfile::tempdir().expect("a directory"));
    let migrating = tokio::spawn(async move {
        run_with(directory.path(), &[("DATABASE_URL", &database)], &["migrate"]).await
    });
    // Each look comes behind a migration that waits, and is answered while the reader is still there.
    for _ in 0..3 {
        somebody_waits(&mut watcher).await;
        let look = "SELECT count(*) FROM flights";
        let count = sqlx::query_scalar::<_, i64>(look).fetch_one(&mut watcher);
        let count = tokio::time::timeout(PATIENCE, count).await;
        assert_eq!(count.expect("it is not held up").expect("a count"), 0);
    }
    assert!(!migrating.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.expect("the report ends");

    let (code, printed) = migrating.await.expect("no panic");
    assert_eq!(code, 0, "{printed}");
    let told = ["session", "(long report, idle in transaction) locks flights"];
    assert!(told.iter().all(|told| printed.contains(told)), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_are_validated_while_a_session_locks_a_row() {
    let url = TestDatabase::postgres().await.url();
    let open = "ALTER TABLE flights DROP CONSTRAINT flights_price_in_range;
                ALTER TABLE flights ADD CONSTRAINT flights_price_in_range
                    CHECK (price > 0 AND price <= 9999999999) NOT VALID";
    let mut watcher = session(&url, open).await;
    let keeps = "SET application_name = 'vacuum'; BEGIN;
                 LOCK TABLE flights IN SHARE UPDATE EXCLUSIVE MODE";
    let mut keeper = session(&url, keeps).await;
    let (database, directory) = (url.clone(), tempfile::tempdir().expect("a directory"));
    let migrating = tokio::spawn(async move {
        run_with(directory.path(), &[("DATABASE_URL", &database)], &["migrate"]).await
    });
    for _ in 0..2 {
        somebody_waits(&mut watcher).await;
        let look = "SELECT count(*) FROM flights";
        let look = sqlx::raw_sql(AssertSqlSafe(look)).execute(&mut watcher);
        let look = tokio::time::timeout(PATIENCE, look).await;
        look.expect("it is not held up").expect("a count");
    }
    sqlx::raw_sql("COMMIT").execute(&mut keeper).await.expect("it ends");
    let (code, printed) = migrating.await.expect("no panic");
    assert_eq!(code, 0, "{printed}");
    let valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'flights_price_in_range'";
    assert!(sqlx::query_scalar::<_, bool>(valid).fetch_one(&mut watcher).await.expect("a look"));
}
