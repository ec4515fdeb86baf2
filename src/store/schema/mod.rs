//! The schema as the start brings it up to date: migrations from the files in `migrations`, the decimals of
//! amounts, route keys.

pub(in crate::store) mod route_keys;
pub(in crate::store) mod unit;

use crate::store::StoreError;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration: its file's name without `.sql` (number and name), and its SQL.
pub(in crate::store) type Step = (&'static str, &'static str);

/// Migrations from a folder in `migrations`.
macro_rules! steps {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../migrations/", $folder, "/", $file, ".sql")))),+]
    };
}

pub(in crate::store) use steps;

/// The migrations as `sqlx` applies and records them. Equals its own reading of a folder, without its macro
/// crate.
///
/// Applied migrations of a later release are ignored: during a rolling upgrade, and after a downgrade, this
/// release runs on a later release's schema.
pub(in crate::store) fn migrator(steps: &[Step]) -> Migrator {
    let migration = |(file, sql): &Step| {
        let (number, name) =
            file.split_once('_').expect("a step's file is named by number and name");
        let number = number.parse().expect("a step's number is one");
        let name = name.replace('_', " ").into();
        Migration::new(number, name, MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(steps.iter().map(migration).collect());
    migrator.set_ignore_missing(true);
    migrator
}

/// Refuses a running service's schema that lacks steps of this release: the service's own upgrade takes
/// them.
pub(in crate::store) fn schema_of_service(
    applied: &[i64],
    own: &Migrator,
) -> Result<(), StoreError> {
    let is_missing = |step: &i64| !applied.contains(step);
    if !own.iter().map(|step| step.version).any(|step| is_missing(&step)) {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "a service of an older release runs on this database, whose schema this release would change: \
         use the service's own binary, or upgrade the service first"
    )))
}

/// Steps beside which no service of an earlier release may serve: it does not know what this release writes.
const ALONE: [i64; 1] = [17];

/// Refuses to take steps while a service of an earlier release serves, if it cannot serve beside this one.
pub(in crate::store) fn taken_alone(applied: &[i64]) -> Result<(), StoreError> {
    if ALONE.iter().all(|step| applied.contains(step)) {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "a service of an older release runs on this database, and cannot serve beside this release: stop all \
         its processes, then try again"
    )))
}

/// Asserts that a list equals its folder: numbers, names and SQL as `sqlx` itself reads them.
#[cfg(test)]
pub(in crate::store) async fn assert_in_step_with(folder: &str, own: &Migrator) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    let read = Migrator::new(folder).await.expect("a folder of steps");
    let as_recorded = |migrator: &Migrator| -> Vec<_> {
        let steps = migrator.iter();
        steps.map(|s| (s.version, s.description.clone(), s.checksum.clone(), s.no_tx)).collect()
    };
    assert_eq!(as_recorded(own), as_recorded(&read));
}
