//! The schema: migrated at the start.

pub(super) mod route_keys;
pub(super) mod unit;

use crate::store::StoreError;
use crate::store::schema::{Step, migrator, steps};
use sqlx::SqliteConnection;
use sqlx::migrate::{MigrateError, Migrator};

/// The migrations.
const STEPS: &[Step] = steps! { "sqlite":
    "0001_initial",
    "0003_payment_traces",
    "0005_outbox_lanes",
    "0006_outbox_by_lane",
    "0007_bookings_by_flight",
    "0009_request_keys",
    "0010_money",
    "0011_route_keys",
    "0013_bookings_by_holder",
    "0014_erasures",
    "0015_taxes",
    "0016_refunds",
    "0017_orders",
    "0018_attempts",
    "0019_challenges",
    "0020_disputes",
    "0021_lists",
    "0022_reference",
    "0023_fares",
    "0024_waitlist",
    "0025_changes",
    "0026_passengers",
    "0029_webhooks",
    "0030_refund_versions",
    "0031_sales",
    "0032_event_log",
    "0033_messages",
};

pub(super) fn migrations() -> Migrator {
    migrator(STEPS)
}

/// Applies the migrations that are not.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    migrations().run(connection).await.map_err(|error| match error {
        MigrateError::Execute(cause) => cause.into(),
        other => StoreError::Refused(other.into()),
    })
}

/// Versions of the applied migrations.
pub(super) async fn applied(connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
    let versions = "SELECT version FROM _sqlx_migrations WHERE success";
    sqlx::query_scalar(versions).fetch_all(connection).await.map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_steps_are_those_of_the_folder() {
        crate::store::schema::assert_in_step_with("sqlite", &super::migrations()).await;
    }
}
