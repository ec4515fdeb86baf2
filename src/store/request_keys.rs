//! Records of requests with a key, to routes other than that of bookings.

use super::StoreError;
use super::rows::instant;
use crate::rules::{IdempotencyKey, RequestKey, RequestName, RequestRecord};
use std::collections::{BTreeSet, HashMap};

/// A record as it is stored: which of the names it was looked for by, the request's hash, what it made,
/// and when.
pub(in crate::store) type RequestRow = (i64, String, i64, i64);

/// Records of stored rows, by name.
pub(in crate::store) fn records(
    names: &BTreeSet<RequestName>,
    rows: Vec<RequestRow>,
) -> Result<HashMap<RequestName, RequestRecord>, StoreError> {
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
        let created_at = instant(created_at).ok_or_else(corrupt)?;
        Ok((request.name(), RequestRecord { request, made, created_at }))
    };
    rows.into_iter().map(record).collect()
}
