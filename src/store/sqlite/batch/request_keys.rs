//! Idempotency keys of the routes other than `POST /bookings`.

use crate::rules::RequestName;
use crate::store::StoreError;
use crate::store::rows::request_keys::RequestRow;
use crate::store::rows::sql::json;
use sqlx::SqliteConnection;
use std::collections::BTreeSet;

/// The rows with these names.
pub(in crate::store) async fn load(
    connection: &mut SqliteConnection,
    names: &BTreeSet<RequestName>,
) -> Result<Vec<RequestRow>, StoreError> {
    sqlx::query_as(
        "SELECT c.key, k.hash, k.made, k.created_at
           FROM json_each(?1) AS c
           JOIN request_keys AS k ON k.route = c.value ->> 0 AND k.owner = c.value ->> 1
                                 AND k.key = c.value ->> 2",
    )
    .bind(json(names))
    .fetch_all(connection)
    .await
    .map_err(StoreError::from)
}
