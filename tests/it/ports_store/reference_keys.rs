//! The key of booking references: drawn once.

use super::Fixture;
use crate::support::TestDatabase;
use airline_booking::clock::{Clock, SystemClock};
use airline_booking::domain::{BookingId, ReferenceKey, References};
use airline_booking::store::ReferenceKeys;
use std::sync::Arc;
use std::time::Duration;

on_each_store! {
    a_database_keeps_the_first_key_that_any_process_draws
    a_key_of_another_length_is_refused
}

/// The references of a database, opened once more.
async fn opened_again(database: &TestDatabase) -> References {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    database.open(Duration::ZERO, clock).await.references
}

async fn a_database_keeps_the_first_key_that_any_process_draws(store: Fixture) {
    let shown = |references: References| references.of(BookingId(1)).to_string();
    let first = shown(opened_again(&store.database).await);
    assert_eq!(shown(opened_again(&store.database).await), first);
    store.database.plant("DELETE FROM reference_key").await;
    let (one, other) = tokio::join!(opened_again(&store.database), opened_again(&store.database));
    let second = shown(one);
    assert_eq!(shown(other), second);
    // Another key, so two draws differ.
    assert_ne!(second, first);
}

async fn a_key_of_another_length_is_refused(store: Fixture) {
    let kept = kept(&store).await;
    assert_eq!(kept.expect("a key").0.len(), 32);
    let short = match &store.database {
        TestDatabase::Sqlite(_) => "UPDATE reference_key SET key = x'00'",
        TestDatabase::Postgres(_) => "UPDATE reference_key SET key = '\\x00'",
    };
    assert_eq!(store.database.plant(short).await, 1);
    let refused = self::kept(&store).await.expect_err("a key of one byte").to_string();
    assert!(refused.contains("reference_key"), "{refused}");
}

/// The key that a database keeps.
async fn kept(store: &Fixture) -> Result<ReferenceKey, airline_booking::store::StoreError> {
    use airline_booking::config::{Config, Database};
    use airline_booking::store::{postgres::PostgresStore, sqlite::SqliteStore};
    let currency = Config::from_env(|_| None).expect("the defaults").currency;
    let drawn = ReferenceKey([9; 32]);
    match store.database.setting() {
        Database::Sqlite(file) => {
            SqliteStore::open(&file, currency).await?.reference_key(drawn).await
        }
        Database::Postgres(settings) => {
            PostgresStore::open(&settings, currency, false).await?.reference_key(drawn).await
        }
    }
}
