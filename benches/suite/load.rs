//! Loads from well-made generators: `wrk` for HTTP, `pgbench` for PostgreSQL.

use anyhow::{Context, ensure};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// What a load came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p99: f64,
    /// Milliseconds, where every latency was kept.
    pub p999: Option<f64>,
    /// Answers other than 2xx and 3xx.
    pub refused: u64,
}

/// A closed loop of `connections` for some time, on `url`, with a script's environment if it has one.
pub async fn wrk(
    url: &str,
    connections: usize,
    time: Duration,
    script: Option<(&str, &[(&str, String)])>,
) -> anyhow::Result<Load> {
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        "--latency",
        &format!("-c{connections}"),
        &format!("-d{}s", time.as_secs()),
    ]);
    if let Some((script, variables)) = script {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(script);
        command.arg("-s").arg(path).envs(variables.iter().map(|(name, value)| (name, value)));
    }
    let output = command.arg(url).output().await.context("wrk (apt-get install wrk)")?;
    ensure!(output.status.success(), "wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let word_after = |mark: &str| -> Option<&str> {
        text.lines().find_map(|line| line.trim().strip_prefix(mark)?.split_whitespace().next())
    };
    Ok(Load {
        rate: word_after("Requests/sec:").context("no rate")?.parse()?,
        p50: milliseconds(word_after("50%").context("no median")?)?,
        p99: milliseconds(word_after("99%").context("no p99")?)?,
        p999: None,
        refused: word_after("Non-2xx or 3xx responses:").map_or(Ok(0), str::parse)?,
    })
}

/// `1.50ms`, `870.00us`, `2.00s`.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).context("no unit")?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => anyhow::bail!("{unit} is no unit of time"),
    };
    Ok(number.parse::<f64>()? * factor)
}

/// One update and two inserts a transaction, on the service's own tables.
const TRANSACTION: &str = r"\set flight random(:first, :last)
BEGIN;
UPDATE flights SET held_seats = held_seats + 1, version = version + 1 WHERE id = :flight;
INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
VALUES ('PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 'INR', 'pm_card_visa', 'requested',
        now(), now());
INSERT INTO bookings (flight_id, user_id, status, payment_reference_id, booking_price, seats_booked,
                      hold_expires_at, created_at, updated_at)
VALUES (:flight, 1, 'pending', 'PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 1, now(),
        now(), now());
COMMIT;
";

/// Two updates and four inserts a transaction: the usual way of an order of two flights, as two bookings with a
/// payment each. The flights are locked in one order, so that no transaction waits for another in a circle.
const ORDER_TRANSACTION: &str = r"\set one 1 + 2 * random(0, (:last - :first) / 2)
\set other 2 + 2 * random(0, (:last - :first) / 2)
BEGIN;
UPDATE flights SET held_seats = held_seats + 1, version = version + 1 WHERE id = :one;
UPDATE flights SET held_seats = held_seats + 1, version = version + 1 WHERE id = :other;
INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
VALUES ('PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 'INR', 'pm_card_visa', 'requested',
        now(), now());
INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
VALUES ('PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 'INR', 'pm_card_visa', 'requested',
        now(), now());
INSERT INTO bookings (flight_id, user_id, status, payment_reference_id, booking_price, seats_booked,
                      hold_expires_at, created_at, updated_at)
VALUES (:one, 1, 'pending', 'PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 1, now(),
        now(), now());
INSERT INTO bookings (flight_id, user_id, status, payment_reference_id, booking_price, seats_booked,
                      hold_expires_at, created_at, updated_at)
VALUES (:other, 1, 'pending', 'PAY-' || replace(gen_random_uuid()::text, '-', ''), 2500, 1, now(),
        now(), now());
COMMIT;
";

/// The usual way, as fast as PostgreSQL does it: a transaction for each booking, prepared, by 32
/// clients, spread over these flights.
pub async fn pgbench(
    database: &str,
    flights: RangeInclusive<usize>,
    time: Duration,
) -> anyhow::Result<f64> {
    pgbench_of(TRANSACTION, database, flights, time).await
}

/// The same for orders of two flights, one with an odd number and one with an even.
pub async fn pgbench_orders(
    database: &str,
    flights: RangeInclusive<usize>,
    time: Duration,
) -> anyhow::Result<f64> {
    pgbench_of(ORDER_TRANSACTION, database, flights, time).await
}

async fn pgbench_of(
    transaction: &str,
    database: &str,
    flights: RangeInclusive<usize>,
    time: Duration,
) -> anyhow::Result<f64> {
    let script = tempfile::NamedTempFile::new()?;
    std::fs::write(script.path(), transaction)?;
    let output = Command::new(pgbench_program())
        .args(["--no-vacuum", "--protocol=prepared", "--client=32", "--jobs=1"])
        .arg(format!("--time={}", time.as_secs()))
        .arg(format!("--define=first={}", flights.start()))
        .arg(format!("--define=last={}", flights.end()))
        .arg("--file")
        .arg(script.path())
        .arg(database)
        .output()
        .await
        .context("pgbench (apt-get install postgresql-contrib)")?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    Ok(rate.context("no tps")?.parse()?)
}

/// On the PATH, or where Debian keeps the newest.
fn pgbench_program() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = folders.map(|folder| folder.path().join("bin/pgbench")).collect();
    found.retain(|program| program.exists());
    found.sort();
    found.pop().unwrap_or_else(|| "pgbench".into())
}
