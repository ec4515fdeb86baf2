//! Records of idempotent requests to the routes other than `POST /bookings`.

use crate::domain::Timestamp;
use crate::rules::{Claim, IdempotencyKey, RequestKey, RequestName, RequestRecord};
use crate::store::StoreError;
use crate::store::rows::instant;
use std::collections::BTreeSet;

/// A record as stored: the position of its name in the query, the request's hash, the number that it created,
/// and when (`None` for an infinite instant).
pub(in crate::store) type RequestRow = (i64, String, i64, Option<i64>);

/// The records of rows, by name.
pub(in crate::store) fn records(
    names: &BTreeSet<RequestName>,
    rows: Vec<RequestRow>,
) -> Vec<(RequestName, Result<RequestRecord, StoreError>)> {
    let names: Vec<&RequestName> = names.iter().collect();
    let record = |(position, hash, made, created_at): RequestRow| {
        let (route, owner, key) = names[position as usize];
        let corrupt = || StoreError::Corrupt {
            table: "request_keys",
            column: "created_at",
            row: key.to_string(),
        };
        let request = RequestKey {
            route,
            owner: *owner,
            key: IdempotencyKey { key: key.clone(), request_hash: hash.into() },
        };
        let name = request.name();
        let created_at = created_at.and_then(instant).ok_or_else(corrupt);
        (name, created_at.map(|created_at| RequestRecord { request, made, created_at }))
    };
    rows.into_iter().map(record).collect()
}

/// Whether a request is new, by the row with its name.
pub(in crate::store) fn claim(
    request: &RequestKey,
    rows: Vec<RequestRow>,
    now: Timestamp,
) -> Result<Claim<()>, StoreError> {
    let stored = records(&BTreeSet::from([request.name()]), rows).pop();
    let record = stored.map(|(_, record)| record).transpose()?;
    Ok(request.meets(record.as_ref(), now))
}

/// Statements that delete at most `$2` keys used before `$1`, the oldest first: keys of bookings, then of other
/// routes. `$instant` converts `$1` to the column's type.
macro_rules! forget_keys {
    ($instant:literal) => {
        [
            concat!(
                "DELETE FROM idempotency_keys WHERE (user_id, key) IN (
                     SELECT user_id, key FROM idempotency_keys
                      WHERE created_at < ",
                $instant,
                " ORDER BY created_at LIMIT $2)"
            ),
            concat!(
                "DELETE FROM request_keys WHERE (route, owner, key) IN (
                     SELECT route, owner, key FROM request_keys
                      WHERE created_at < ",
                $instant,
                " ORDER BY created_at LIMIT $2)"
            ),
        ]
    };
}

pub(in crate::store) use forget_keys;
