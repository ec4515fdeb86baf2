//! PostgreSQL: the store that any number of replicas share.
//!
//! Every commit is one statement, whatever the batch ([`batch::commit`]). Sessions give up on statements and
//! locks after some seconds, so that a hung server is an outage and not a standstill; calls give up a
//! little later on a server that does not answer at all ([`connection::stall_guard`]).

mod batch;
mod clock;
mod columns;
mod connection;
mod reader;
mod roles;
mod schema;
mod sets;
mod watched;

use super::StoreError;
use super::rows::unreadable::Unreadable;
use crate::clock::{Clock, OffsetClock};
use crate::config::PostgresSettings;
use crate::domain::Currency;
use batch::numbers::Numbers;
use connection::connect;
use reader::Reader;
use schema::{adopt, rewrite, route_keys};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};
use std::sync::Arc;

pub(in crate::store) use connection::error::is_away;
pub(crate) use connection::stall_guard::StallGuard;
pub(crate) use connection::transaction::begin;
pub use schema::adopt::Symptom;
pub use watched::WATCHED;

/// A PostgreSQL database, which replicas share.
pub struct PostgresStore {
    primary: PgPool,
    /// Reads searches from a replica while it answers.
    reader: Reader,
    options: PgConnectOptions,
    numbers: Numbers,
    clock: Arc<OffsetClock>,
    guard: Arc<StallGuard>,
    unreadable: Unreadable,
    version_limit: i64,
}

impl PostgresStore {
    /// Connects and brings the schema up to date. A database with the specification's two tables alone is
    /// adopted if `adopt` is set, and refused otherwise.
    ///
    /// Adopted flights get `currency`. A database whose amounts have other decimals is refused.
    pub async fn open(
        settings: &PostgresSettings,
        currency: Currency,
        adopt: bool,
    ) -> Result<Self, StoreError> {
        let options = connect::options(settings)?;
        let mut first = connect::connect(&options).await?;
        schema::bring_up_to_date(&mut first, currency, adopt).await?;
        route_keys::renew(&mut first).await?;
        let version_limit = rewrite::version_limit(&mut first).await?;
        // Needed for the start only. If this fails, the server closes the connection.
        let _ = first.close().await;
        let guard = Arc::default();
        let primary = connect::pool(settings, &guard).connect_lazy_with(options.clone());
        let replica = settings.read_host.as_ref().map(|host| {
            connect::pool(settings, &guard).connect_lazy_with(options.clone().host(host))
        });
        let reader = Reader::new(replica);
        let (numbers, clock) = (Numbers::default(), Arc::default());
        let unreadable = Unreadable::default();
        let store =
            Self { primary, reader, options, numbers, clock, guard, unreadable, version_limit };
        store.set_clock().await?;
        Ok(store)
    }

    /// Connects once and changes nothing. Fails with [`StoreError::Refused`] if the server answers and
    /// rejects the connection.
    pub async fn try_out(settings: &PostgresSettings) -> Result<(), StoreError> {
        let connection = connect::connect(&connect::options(settings)?).await?;
        let _ = connection.close().await;
        Ok(())
    }

    /// What stops the adoption of a database of the specified schema, and what adoption would change;
    /// `None` if the database has another schema.
    pub async fn examine(settings: &PostgresSettings) -> Result<Option<Vec<Symptom>>, StoreError> {
        let options = connect::options(settings)?;
        let mut connection = connect::connect(&options).await?;
        if !schema::is_specified(&mut connection).await? {
            return Ok(None);
        }
        adopt::examine(&mut connection).await.map(Some)
    }

    /// The database's clock, as [`Self::set_clock`] last read it.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// A globally unique id of the database: cluster system identifier and database OID. Prefixes what
    /// several databases share elsewhere.
    pub async fn identity(&self) -> Result<String, StoreError> {
        sqlx::query_scalar(
            "SELECT s.system_identifier || '-' || d.oid
               FROM pg_control_system() AS s, pg_database AS d
              WHERE d.datname = current_database()",
        )
        .fetch_one(&self.primary)
        .await
        .map_err(StoreError::from)
    }

    /// The pool and its stall guard, for adapters that keep rows in the same database.
    pub(crate) fn connections(&self) -> (PgPool, Arc<StallGuard>) {
        (self.primary.clone(), self.guard.clone())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        if let Some(replica) = self.reader.pool() {
            replica.close().await;
        }
        self.primary.close().await;
    }
}
