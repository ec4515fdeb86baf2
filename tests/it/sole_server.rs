//! Without Kafka only one process serves a database, also after its claim was lost.

use crate::support::TestDatabase;
use crate::support::eventually;
use crate::support::process::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use tempfile::TempDir;

/// How long what must happen may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The claim's advisory lock.
const CLAIM: &str = "(6383986, 5)";

/// A server with its claim, and a session that looks at it.
async fn start() -> (Server, String, PgConnection, TempDir) {
    let url = TestDatabase::postgres().await.url();
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("DATABASE_URL", &url)]).await;
    let session = PgConnection::connect(&url).await.expect("a session");
    (server, url, session, directory)
}

/// Waits until a session other than `not` has the claim, or waits for it.
async fn claimant(session: &mut PgConnection, has_it: bool, not: i32) -> i32 {
    eventually("a session with the claim, or in line for it", async || {
        sqlx::query_scalar::<_, i32>(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 6383986
                AND objid = 5 AND granted = $1 AND pid <> $2 AND database =
                    (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .bind(has_it)
        .bind(not)
        .fetch_optional(&mut *session)
        .await
        .expect("an answer")
    })
    .await
}

async fn end(session: &mut PgConnection, pid: i32) {
    let ended = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(session).await;
    ended.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_claim_session_ended_claims_again() {
    let (server, _, mut session, _directory) = start().await;
    let first = claimant(&mut session, true, 0).await;
    end(&mut session, first).await;
    claimant(&mut session, true, first).await;
    assert!(server.terminate().await, "it served on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_claim_to_another_stops_with_an_error() {
    let (server, url, mut session, _directory) = start().await;
    let first = claimant(&mut session, true, 0).await;
    let mut other = PgConnection::connect(&url).await.expect("a session");
    let taking = tokio::spawn(async move {
        let lock = AssertSqlSafe(format!("SELECT pg_advisory_lock{CLAIM}"));
        sqlx::raw_sql(lock).execute(&mut other).await.expect("taken");
        other
    });
    claimant(&mut session, false, 0).await;
    end(&mut session, first).await;
    let other = taking.await.expect("no panic");
    let ended = tokio::time::timeout(PATIENCE, server.ended()).await;
    assert!(!ended.expect("it stops"), "with an error");
    drop(other);
}
