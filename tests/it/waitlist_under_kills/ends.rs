//! What became of every party, once all is at rest.

use sqlx::PgConnection;
use std::collections::BTreeMap;

/// What is still under way: also an offer that is open, or that has ended and whose entry does not say so.
pub const OPEN: &str = "
    SELECT (SELECT count(*) FROM payments
             WHERE status IN ('requested', 'reversal_requested') AND waits_for IS DISTINCT FROM 'method')
         + (SELECT count(*) FROM bookings WHERE status = 'pending')
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM waitlist WHERE status = 'offered')
         + (SELECT count(*) FROM outbox)";

/// Each names what must not be.
const FAULTS: [(&str, &str); 5] = [
    (
        "a user has seats twice on a flight",
        "SELECT count(*) FROM (
             SELECT 1 FROM bookings WHERE status IN ('pending', 'completed')
              GROUP BY flight_id, user_id HAVING count(*) > 1) AS twice",
    ),
    (
        "a party was promoted twice",
        "SELECT count(*) FROM (
             SELECT 1 FROM history.changes
              WHERE kind = 'waitlist' AND became ->> 'status' = 'offered'
                AND was ->> 'status' IS DISTINCT FROM 'offered'
              GROUP BY became ->> 'id' HAVING count(*) > 1) AS twice",
    ),
    (
        "a promoted party has no paid booking of its seats",
        "SELECT count(*) FROM waitlist AS w
           LEFT JOIN bookings AS b ON b.id = w.id AND b.flight_id = w.flight_id
                                  AND b.status = 'completed' AND b.seats_booked = w.seats
          WHERE w.status = 'promoted' AND b.id IS NULL",
    ),
    (
        "a party without a promotion has a booking that stands",
        "SELECT count(*) FROM waitlist AS w JOIN bookings AS b ON b.id = w.id
          WHERE w.status <> 'promoted' AND b.status IN ('pending', 'completed')",
    ),
    (
        "the sold seats are not those of promoted parties and of other bookings",
        "SELECT count(*) FROM flights AS f
          WHERE f.total_seats - f.blocked_seats - f.available_seats
                <> (SELECT coalesce(sum(w.seats), 0) FROM waitlist AS w
                     WHERE w.flight_id = f.id AND w.status = 'promoted')
                 + (SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b
                     WHERE b.flight_id = f.id AND b.status = 'completed'
                       AND NOT EXISTS (SELECT 1 FROM waitlist AS w WHERE w.id = b.id))",
    ),
];

/// Fails if something is there that must not be.
pub async fn expect_no_faults(database: &mut PgConnection) {
    for (what, count) in FAULTS {
        let found: i64 =
            sqlx::query_scalar(count).fetch_one(&mut *database).await.expect("a count");
        assert_eq!(found, 0, "{what}");
    }
}

/// The number of entries of each status.
pub async fn statuses(database: &mut PgConnection) -> BTreeMap<String, i64> {
    let all = "SELECT status, count(*) FROM waitlist GROUP BY status";
    let rows: Vec<(String, i64)> = sqlx::query_as(all).fetch_all(database).await.expect("entries");
    rows.into_iter().collect()
}
