//! Records of requests with a key, to routes other than that of bookings.

use super::StoreError;
use super::rows::instant;
use crate::domain::Timestamp;
use crate::rules::{Claim, IdempotencyKey, RequestKey, RequestName, RequestRecord};
use std::collections::BTreeSet;

/// A record as it is stored: which of the names it was looked for by, the request's hash, what it made,
/// and when; `None` for an instant that is none.
pub(in crate::store) type RequestRow = (i64, String, i64, Option<i64>);

/// Records of stored rows, by name.
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

/// What the key of one request means, by the row that is stored under its name.
pub(in crate::store) fn claim(
    request: &RequestKey,
    rows: Vec<RequestRow>,
    now: Timestamp,
) -> Result<Claim<()>, StoreError> {
    let stored = records(&BTreeSet::from([request.name()]), rows).pop();
    let record = stored.map(|(_, record)| record).transpose()?;
    Ok(request.meets(record.as_ref(), now))
}

/// Statements that forget keys used before an instant (`$1`, which the store reads as it is told here), the
/// oldest `$2` at most: those of bookings, then those of other routes.
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
