//! Changes of the schema while other sessions use the database. A session that waits for a table blocks
//! every later session: so each wait is short, and other sessions run between two waits.

use crate::store::StoreError;
use crate::store::postgres::connection::error::is_locked;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// How long a statement waits for a table: within a transaction, after
/// [`for_whole_tables`](crate::store::postgres::connection::advisory_locks::for_whole_tables).
const SHORT_WAITS: &str = "SET LOCAL lock_timeout = '500ms'";

/// The pause between two waits, in which other sessions run.
const PAUSE: Duration = Duration::from_secs(2);

/// Total time of all attempts. Longer than the backup of a small database, shorter than an operator waits
/// for a start.
const PATIENCE: Duration = Duration::from_mins(5);

/// The sessions that lock tables of the schema, the oldest transaction first.
const KEEPERS: &str = "
SELECT format('session %s (%s, %s) locks %s', a.pid, coalesce(nullif(a.application_name, ''), 'no name'),
              coalesce(a.state, 'state unknown'),
              string_agg(DISTINCT c.relname::text, ', ' ORDER BY c.relname::text))
  FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = l.relation AND c.relkind = 'r'
                    AND c.relnamespace = current_schema()::regnamespace
  JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY a.pid, a.application_name, a.state, a.xact_start
 ORDER BY a.xact_start LIMIT 5";

/// Shortens the transaction's further waits for tables.
pub(super) async fn wait_shortly(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(SHORT_WAITS).execute(connection).await?;
    Ok(())
}

/// Repeats a transaction that times out waiting for tables, up to [`PATIENCE`].
pub(super) struct Patience {
    began: Instant,
    tries: u32,
}

impl Patience {
    pub(in crate::store) fn new() -> Self {
        Self { began: Instant::now(), tries: 0 }
    }

    /// Whether the transaction with this outcome is done. Returns `false` after a pause if it timed
    /// out waiting for a table and must be repeated. After [`PATIENCE`] it fails and names the sessions that lock
    /// the table.
    pub(super) async fn is_over(
        &mut self,
        outcome: Result<(), StoreError>,
        connection: &mut PgConnection,
    ) -> Result<bool, StoreError> {
        match outcome {
            Err(error) if timed_out_waiting(&error) => {}
            outcome => return outcome.map(|()| true),
        }
        let keepers = keepers(connection).await?;
        if self.began.elapsed() >= PATIENCE {
            return Err(StoreError::Refused(anyhow::anyhow!(
                "other sessions lock tables that have to be changed, and nothing was changed: {keepers}; end \
                 them, or try again later"
            )));
        }
        self.tries += 1;
        // At once, then at doubling intervals.
        if self.tries.is_power_of_two() {
            warn!(%keepers, "waiting for tables that have to be changed");
        }
        tokio::time::sleep(PAUSE).await;
        Ok(false)
    }
}

async fn keepers(connection: &mut PgConnection) -> Result<String, StoreError> {
    let keepers: Vec<String> = sqlx::query_scalar(KEEPERS).fetch_all(connection).await?;
    let none = keepers.is_empty();
    Ok(if none { "no session locks them now".to_owned() } else { keepers.join("; ") })
}

fn timed_out_waiting(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(cause) | StoreError::Refused(cause) => {
            let of_driver = |cause: &(dyn std::error::Error + 'static)| {
                cause.downcast_ref::<sqlx::Error>().is_some_and(is_locked)
            };
            cause.chain().any(of_driver)
        }
        StoreError::Locked(_) | StoreError::TimedOut(_) | StoreError::Corrupt { .. } => false,
    }
}
