//! Connections to PostgreSQL: options, session settings, pools.

use super::stall_guard::StallGuard;
use crate::config::{PostgresSettings, SslMode};
use crate::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;

/// How long a statement waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of every session. A commit is durable before it is acknowledged. Statements, waits for
/// locks and idle transactions have time limits. A lost client is noticed, which ends its leases (a Unix
/// socket ignores this). The planner keeps generic plans and prefers indexes: a plan made while a table
/// was empty would otherwise scan, hash or merge the whole table until its statistics catch up.
///
/// A table that a foreign session locks delays a batch by `lock_timeout` (a row by less), and commands on other
/// flights may share several such batches in a row: several times `lock_timeout` is still less than a request's
/// time (`SERVER_WRITE_TIMEOUT`).
const SESSION: [(&str, &str); 13] = [
    ("synchronous_commit", "on"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The connection options of the settings.
pub(in crate::store) fn options(
    settings: &PostgresSettings,
) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = if let Some(url) = &settings.url {
        // The parser's error may repeat the URL, and with it a password.
        url.expose().parse().map_err(|_| {
            StoreError::Refused(anyhow::anyhow!("DATABASE_URL is not a URL of PostgreSQL"))
        })?
    } else {
        PgConnectOptions::new_without_pgpass()
            .host(&settings.host)
            .port(settings.port)
            .username(&settings.user)
            .password(settings.password.expose())
            .database(&settings.database)
            .ssl_mode(PgSslMode::Disable)
    };
    let options = match settings.ssl_mode {
        None => options,
        Some(SslMode::Disable) => options.ssl_mode(PgSslMode::Disable),
        Some(SslMode::Prefer) => options.ssl_mode(PgSslMode::Prefer),
        Some(SslMode::Require) => options.ssl_mode(PgSslMode::Require),
        Some(SslMode::VerifyCa) => options.ssl_mode(PgSslMode::VerifyCa),
        Some(SslMode::VerifyFull) => options.ssl_mode(PgSslMode::VerifyFull),
    };
    let options = match &settings.ssl_root_cert {
        Some(file) => options.ssl_root_cert(file),
        None => options,
    };
    Ok(options.application_name("airline-booking").options(SESSION).disable_statement_logging())
}

/// Whether the server refused and will refuse again: wrong credentials (class 28) or no such database
/// (3D000).
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("28") || code == "3D000")
}

/// Connects once. The error names the server, the settings and the cause.
pub(in crate::store) async fn connect(
    options: &PgConnectOptions,
) -> Result<PgConnection, StoreError> {
    let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options));
    let (is_refused, cause) = match connecting.await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => (is_refusal(&error), anyhow::Error::new(error)),
        Err(_) => (false, anyhow::anyhow!("no answer within {ACQUIRE_TIMEOUT:?}")),
    };
    let database = options.get_database().unwrap_or_default();
    let (host, port) = (options.get_host(), options.get_port());
    let cause = cause.context(format!(
        "PostgreSQL, {database} on {host}:{port} (DB_HOST, DB_PORT, DB_NAME or DATABASE_URL)"
    ));
    Err(if is_refused { StoreError::Refused(cause) } else { StoreError::Unavailable(cause) })
}

/// A pool without open connections.
pub(in crate::store) fn pool(
    settings: &PostgresSettings,
    guard: &Arc<StallGuard>,
) -> PgPoolOptions {
    let (taken, given_back) = (guard.clone(), guard.clone());
    PgPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, _| {
            let guard = taken.clone();
            Box::pin(async move { guard.clears(connection).await })
        })
        .after_release(move |connection, _| {
            let guard = given_back.clone();
            Box::pin(async move { guard.clears(connection).await })
        })
}
