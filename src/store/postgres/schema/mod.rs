//! The schema: migrated at the start, or taken over from a database with the specification's two tables.

pub(super) mod adopt;
mod patience;
pub(super) mod rewrite;
pub(super) mod route_keys;
mod unit;

use crate::config::PostgresSettings;
use crate::domain::{Currency, route_key};
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::advisory_locks::{
    AdvisoryLock, for_whole_tables, is_served, take_lock,
};
use crate::store::postgres::connection::connect;
use crate::store::schema::{Step, migrator, schema_of_service, steps, taken_alone};
use patience::{Patience, wait_shortly};
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;

/// The migrations.
const STEPS: &[Step] = steps! { "postgres":
    "0001_specified",
    "0002_engine",
    "0003_payment_traces",
    "0004_cancelled_flights",
    "0005_outbox_lanes",
    "0008_outbox_by_lane",
    "0009_request_keys",
    "0010_money",
    "0011_route_keys",
    "0012_adopted_flights",
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

/// Checks that a migration added and did not validate.
const NOT_VALIDATED: &str = "
SELECT conrelid::regclass::text, quote_ident(conname::text) FROM pg_constraint
 WHERE NOT convalidated AND connamespace = current_schema()::regnamespace AND conname IN (
       'flights_price_in_range', 'bookings_price_in_range', 'payments_amount_in_range',
       'gateway_ledger_amount_in_range', 'flights_taxes_within_price',
       'bookings_segment_within_order', 'bookings_order_of_segment', 'bookings_taxes_within_price',
       'payments_attempt_positive', 'payments_order_of_attempt', 'payments_kind_known',
       'payments_waits_for_known', 'payments_dispute_known', 'bookings_fee_in_range',
       'flights_waiting_not_negative', 'flights_passed_not_negative')
 ORDER BY conname";

fn migrations() -> Migrator {
    migrator(STEPS)
}

impl PostgresStore {
    /// Fails if a service runs on a database of an older schema, which [`Self::open`] would change.
    pub async fn refuse_older_schema_in_use(settings: &PostgresSettings) -> Result<(), StoreError> {
        let mut connection = connect::connect(&connect::options(settings)?).await?;
        if is_served(&mut connection).await? {
            schema_of_service(&applied(&mut connection).await?, &migrations())?;
        }
        let _ = connection.close().await;
        Ok(())
    }
}

/// Brings the schema up to date. Replicas wait for each other.
pub(super) async fn bring_up_to_date(
    connection: &mut PgConnection,
    currency: Currency,
    may_adopt: bool,
) -> Result<(), StoreError> {
    let mut patience = Patience::new();
    loop {
        let taken = take_steps(connection, currency, may_adopt).await;
        if patience.is_over(taken, connection).await? {
            break;
        }
    }
    loop {
        let validated = validate_checks(connection).await;
        if patience.is_over(validated, connection).await? {
            return Ok(());
        }
    }
}

/// One transaction.
async fn take_steps(
    connection: &mut PgConnection,
    currency: Currency,
    may_adopt: bool,
) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    for_whole_tables(&mut tx).await?;
    take_lock(&mut tx, AdvisoryLock::Migrate).await?;
    wait_shortly(&mut tx).await?;
    let is_specified = is_specified(&mut tx).await?;
    if is_specified {
        if !may_adopt {
            return Err(StoreError::Refused(anyhow::anyhow!(
                "the database has another service's schema; look at it with `airline-booking \
                 doctor`, then adopt it with `airline-booking migrate`"
            )));
        }
        keep_others_out(&mut tx).await?;
        adopt::refuse_what_is_ill(&mut tx).await?;
    }
    // Suppresses a notice for every missing object that an adoption drops if it exists.
    sqlx::query(
        "SELECT set_config('airline_booking.currency', $1, true),
                set_config('client_min_messages', 'warning', true)",
    )
    .bind(currency.as_str())
    .execute(&mut *tx)
    .await?;
    if !has_every_step(&mut tx).await? {
        if is_served(&mut tx).await? {
            taken_alone(&applied(&mut tx).await?)?;
        }
        migrations().run(&mut *tx).await.map_err(why_not)?;
    }
    if is_specified {
        write_routes(&mut tx).await?;
    }
    unit::settle(&mut tx, currency).await?;
    Ok(tx.commit().await?)
}

/// The numbers of the applied migrations of a database that is or was served.
async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let versions = "SELECT version FROM _sqlx_migrations WHERE success";
    Ok(sqlx::query_scalar(versions).fetch_all(connection).await?)
}

/// Whether every migration is applied, so that a role without the right to change the schema can serve.
/// `sqlx` refuses an applied migration whose text has changed.
async fn has_every_step(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let is_recorded = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    let is_recorded = sqlx::query_scalar(is_recorded).fetch_one(&mut *connection).await;
    if !is_recorded? {
        return Ok(false);
    }
    let applied: HashMap<i64, Vec<u8>> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success")
            .fetch_all(connection)
            .await?
            .into_iter()
            .collect();
    let is_applied = |step: &Migration| {
        applied.get(&step.version).is_some_and(|checksum| **checksum == *step.checksum)
    };
    Ok(migrations().iter().all(is_applied))
}

/// Why the schema could not be brought up to date; for missing rights (42501), what to do.
fn why_not(error: MigrateError) -> StoreError {
    let code = match &error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            error.as_database_error().and_then(DatabaseError::code)
        }
        _ => None,
    };
    let context = if code.as_deref() == Some("42501") {
        "the schema is older than this release, and DB_USER may not change it: run \
         `airline-booking migrate` as the role that owns it"
    } else {
        "migration"
    };
    StoreError::Refused(anyhow::Error::new(error).context(context))
}

/// Validates new checks while other sessions read and write the rows.
async fn validate_checks(connection: &mut PgConnection) -> Result<(), StoreError> {
    let open: Vec<(String, String)> =
        sqlx::query_as(NOT_VALIDATED).fetch_all(&mut *connection).await?;
    for (table, check) in open {
        let mut tx = connection.begin().await?;
        for_whole_tables(&mut tx).await?;
        wait_shortly(&mut tx).await?;
        let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {check}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(validate)).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Locks the tables to the end of the transaction, so that the other service writes nothing between the
/// examination and the adoption.
async fn keep_others_out(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("LOCK TABLE flights, bookings IN ACCESS EXCLUSIVE MODE")
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the database has the specification's tables and no others of this service.
pub(super) async fn is_specified(connection: &mut PgConnection) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT to_regclass('flights') IS NOT NULL AND to_regclass('payments') IS NULL",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::from)
}

/// Writes the route keys of adopted flights by the service's rule, which does not depend on the database's
/// collation.
async fn write_routes(connection: &mut PgConnection) -> Result<(), StoreError> {
    let flights: Vec<(i64, String, String, String)> =
        sqlx::query_as("SELECT id, source, destination, route FROM flights")
            .fetch_all(&mut *connection)
            .await?;
    let (ids, routes): (Vec<i64>, Vec<String>) = flights
        .into_iter()
        .filter_map(|(id, source, destination, route)| {
            let ours = route_key(&source, &destination);
            (ours != route).then_some((id, ours))
        })
        .unzip();
    sqlx::query(
        "UPDATE flights SET route = c.route
           FROM unnest($1::bigint[], $2::text[]) AS c (id, route) WHERE flights.id = c.id",
    )
    .bind(ids)
    .bind(routes)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_steps_are_those_of_the_folder() {
        crate::store::schema::assert_in_step_with("postgres", &super::migrations()).await;
    }
}
