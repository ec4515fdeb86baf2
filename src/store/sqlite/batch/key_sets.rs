//! The sets of idempotency keys.

use super::sets::Set;
use crate::rules::{IdempotencyRecord, RequestRecord};
use crate::store::rows::micros;

/// Replaces the record of another commit only after it has lapsed.
pub(super) fn upsert_keys(records: &[IdempotencyRecord]) -> Set {
    Set::new(
        "keys",
        "INSERT INTO idempotency_keys (user_id, key, request_hash, booking_id, created_at)
         SELECT c.value ->> 0, c.value ->> 1, c.value ->> 2, c.value ->> 3, c.value ->> 4
           FROM jsonb_each(NEW.keys) AS c
          WHERE NOT EXISTS (
                SELECT 1 FROM idempotency_keys AS k
                 WHERE k.user_id = c.value ->> 0 AND k.key = c.value ->> 1
                   AND k.created_at > c.value ->> 5)
             ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
                booking_id = excluded.booking_id, created_at = excluded.created_at",
        records,
        |record| {
            let (key, hash, made_at) = (&record.key, &record.request_hash, record.created_at);
            let old = micros(made_at - IdempotencyRecord::KEPT_FOR);
            (record.user_id, key, hash, record.booking_id, micros(made_at), old)
        },
    )
}

/// The same for keys of other routes.
pub(super) fn upsert_requests(records: &[RequestRecord]) -> Set {
    Set::new(
        "keys_of_requests",
        "INSERT INTO request_keys (route, owner, key, hash, made, created_at)
         SELECT c.value ->> 0, c.value ->> 1, c.value ->> 2, c.value ->> 3, c.value ->> 4,
                c.value ->> 5
           FROM jsonb_each(NEW.keys_of_requests) AS c
          WHERE NOT EXISTS (
                SELECT 1 FROM request_keys AS k
                 WHERE k.route = c.value ->> 0 AND k.owner = c.value ->> 1
                   AND k.key = c.value ->> 2 AND k.created_at > c.value ->> 6)
             ON CONFLICT (route, owner, key) DO UPDATE SET hash = excluded.hash,
                made = excluded.made, created_at = excluded.created_at",
        records,
        |RequestRecord { request, made, created_at }| {
            let (route, owner, key) = request.name();
            let old = micros(*created_at - IdempotencyRecord::KEPT_FOR);
            (route, owner, key, &request.key.request_hash, made, micros(*created_at), old)
        },
    )
}
