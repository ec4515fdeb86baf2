//! The plans that PostgreSQL makes for the store's statements whose cost must not grow with the number of
//! rows, as `EXPLAIN` shows them: under the settings of the service's sessions, which keep their plans.

use airline_booking::store::postgres::WATCHED;
use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::fmt::Write as _;
use std::path::Path;

/// The settings of the service's sessions.
const SESSION: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

/// The types of the parameters of a list of flights.
const LISTED: &str = "bigint, bigint, bigint, text, text, bigint";

/// The parameters of a watched statement.
struct Parameters {
    types: &'static str,
    values: &'static str,
    /// Whether the sweeper or the relay runs the statement, again and again.
    is_upkeep: bool,
}

/// The parameters of the statement with this name.
fn parameters(statement: &str) -> anyhow::Result<Parameters> {
    let (types, values, is_upkeep) = match statement {
        "bookings_of_user" => {
            ("bigint, bigint, text, bigint", "4711, 9223372036854775807, NULL, 101", false)
        }
        "bookings_of_flight" => ("bigint, bigint, text, bigint", "47, -1, NULL, 101", false),
        // Microseconds: 1970 to the year 2100.
        "flights_listed" => (LISTED, "0, 0, 4102444800000000, NULL, NULL, 101", false),
        "flights_listed_by_status" => {
            (LISTED, "0, 0, 4102444800000000, NULL, 'cancelled', 101", false)
        }
        "flights_listed_by_route" => {
            (LISTED, "0, 0, 4102444800000000, 'delhi#mumbai', NULL, 101", false)
        }
        "flights_listed_by_source" => (LISTED, "0, 0, 4102444800000000, 'delhi', NULL, 101", false),
        "flights_listed_by_destination" => {
            (LISTED, "0, 0, 4102444800000000, 'mumbai', NULL, 101", false)
        }
        "lapsed_holds" | "unanswered_payments" | "unanswered_refunds" => {
            ("bigint, bigint, text, bigint", "4102444800000000, NULL, '', 1000", true)
        }
        "stranded_bookings" => ("bigint, bigint, bigint", "1000, -1, -1", true),
        "outbox" => {
            ("bigint, bigint, bigint[], text, bigint", "1000, 1024, '{}', 'requests', -1", true)
        }
        "backlog" => ("bigint, bigint, bigint", "4102444800000000, 4102444800000000, 100000", true),
        "lines_to_serve" => {
            ("bigint, bigint, bigint, bigint", "4102444800000000, 0, -1, 512", true)
        }
        "take_message" => {
            ("text, bigint, bigint", "'mail', 4102444800000000, 4102444800000000", true)
        }
        "unserved_lines" => ("bigint, bigint", "4102444800000000, 256", false),
        "entries_wanted" => {
            ("bigint[], bigint[], bigint[], bigint[]", "'{4711}', '{47}', '{48}', '{7}'", false)
        }
        "count_seats" | "compare_payments" => {
            ("bigint, bigint, bigint, bigint[]", "256, 4711, 256, '{}'", false)
        }
        other => anyhow::bail!("no parameters for {other}"),
    };
    Ok(Parameters { types, values, is_upkeep })
}

/// Writes every plan to a file. Returns how long the slowest statement of the sweeper and the relay took, in
/// milliseconds.
pub async fn write(url: &str, file: &Path) -> anyhow::Result<f64> {
    let mut database = PgConnection::connect(url).await?;
    sqlx::raw_sql(SESSION).execute(&mut database).await?;
    let (mut text, mut slowest) = (String::new(), 0.0_f64);
    for (name, statement) in WATCHED {
        let Parameters { types, values, is_upkeep } = parameters(name)?;
        let prepare = format!("PREPARE {name} ({types}) AS {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut database).await?;
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS) EXECUTE {name} ({values})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut database).await?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}\n\n{statement}\n");
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
