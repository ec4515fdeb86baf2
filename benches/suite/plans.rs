//! How PostgreSQL goes about the questions that must not grow with the store, as its `EXPLAIN`
//! tells: under the settings of the service's sessions, which keep their plans.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::fmt::Write as _;
use std::path::Path;

/// As the service's sessions have it.
const SESSION: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

/// A question of the service: its parameters' types, its text and values to try it with.
struct Question {
    name: &'static str,
    types: &'static str,
    text: &'static str,
    values: &'static str,
    /// Whether the sweeper or the relay asks it, all the time.
    is_upkeep: bool,
}

/// The conditions, order and limits of `src/store/postgres/roles/maintenance.rs`.
const QUESTIONS: [Question; 5] = [
    Question {
        name: "user_bookings",
        types: "bigint, bigint, text, bigint",
        text: "SELECT * FROM bookings
           WHERE user_id = $1 AND id < $2 AND ($3 IS NULL OR status = $3)
           ORDER BY id DESC LIMIT $4",
        values: "4711, 9223372036854775807, NULL, 101",
        is_upkeep: false,
    },
    Question {
        name: "lapsed_holds",
        types: "timestamp, bigint",
        text: "SELECT reference FROM payments
           WHERE status = 'requested' AND hold_expires_at <= $1
           ORDER BY hold_expires_at LIMIT $2",
        values: "'2100-01-01', 1000",
        is_upkeep: true,
    },
    Question {
        name: "unanswered_payments",
        types: "timestamp, bigint",
        text: "SELECT * FROM payments
           WHERE status IN ('requested', 'reversal_requested') AND payments.updated_at < $1
           ORDER BY payments.updated_at LIMIT $2",
        values: "'2100-01-01', 1000",
        is_upkeep: true,
    },
    Question {
        name: "stranded_bookings",
        types: "bigint",
        text: "WITH empty AS (
            DELETE FROM cancelled_flights AS c USING flights AS f
             WHERE f.id = c.flight_id AND f.held_seats = 0
               AND f.available_seats + f.blocked_seats = f.total_seats)
         SELECT b.id FROM cancelled_flights AS c
           JOIN bookings AS b ON b.flight_id = c.flight_id AND b.status IN ('pending', 'completed')
          LIMIT $1",
        values: "1000",
        is_upkeep: true,
    },
    Question {
        name: "outbox",
        types: "bigint, bigint, bigint[], text",
        text:
            "WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
         sent AS (DELETE FROM outbox WHERE id = ANY ($3) AND (SELECT true FROM unhurried))
         SELECT id, micros(since), body
           FROM (SELECT *, sum(messages) OVER (ORDER BY id) - messages AS before
                   FROM (SELECT * FROM outbox WHERE lane = $4 AND id <> ALL ($3)
                          ORDER BY id LIMIT $2) AS oldest) AS counted
          WHERE before < $1 ORDER BY id",
        values: "1000, 1024, '{}', 'requests'",
        is_upkeep: true,
    },
];

/// Writes every plan to a file; gives how long the slowest of sweeper and relay took, in
/// milliseconds.
pub async fn write(url: &str, file: &Path) -> anyhow::Result<f64> {
    let mut database = PgConnection::connect(url).await?;
    sqlx::raw_sql(SESSION).execute(&mut database).await?;
    let (mut text, mut slowest) = (String::new(), 0.0_f64);
    for Question { name, types, text: question, values, is_upkeep } in QUESTIONS {
        let prepare = format!("PREPARE {name} ({types}) AS {question}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut database).await?;
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS) EXECUTE {name} ({values})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut database).await?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}\n\n{question}\n");
        let mut took = None;
        for row in rows {
            let line: String = row.try_get(0)?;
            let time = line.strip_prefix("Execution Time: ");
            took = time.and_then(|time| time.trim_end_matches(" ms").parse().ok()).or(took);
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
        if is_upkeep {
            slowest = slowest.max(took.context("no execution time")?);
        }
    }
    std::fs::write(file, text)?;
    Ok(slowest)
}
