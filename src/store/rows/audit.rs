//! The invariants I1 to I5 and I7 over the whole database: a statement each finds the rows that break it.
//!
//! The statements are the same for both databases. A store runs them in one transaction, so that all see
//! the same moment.

use crate::store::Finding;

/// Maximum examples of a finding.
const EXAMPLES_MAX: usize = 5;

/// A rule: a count of its rows, and the names of those that break it.
pub(in crate::store) struct Rule {
    invariant: &'static str,
    rule: &'static str,
    /// Counts the rows that the rule covers.
    pub(in crate::store) checked: &'static str,
    /// Names the rows that break the rule. Its parameter, if any, is the instant before which a lapsed hold
    /// must have been swept.
    pub(in crate::store) broken: &'static str,
}

pub(in crate::store) const RULES: &[Rule] = &[
    Rule {
        invariant: "I1",
        rule: "0 <= held <= available <= total, blocked >= 0, sold >= 0",
        checked: "SELECT count(*) FROM flights",
        broken: "SELECT 'flight ' || id FROM flights
                  WHERE NOT (0 <= held_seats AND held_seats <= available_seats
                        AND available_seats <= total_seats AND blocked_seats >= 0
                        AND available_seats + blocked_seats <= total_seats)",
    },
    Rule {
        invariant: "I2",
        rule: "held seats are those of pending bookings",
        checked: "SELECT count(*) FROM flights",
        broken: "SELECT 'flight ' || f.id FROM flights AS f
                   LEFT JOIN (SELECT flight_id, sum(seats_booked) AS seats FROM bookings
                               WHERE status = 'pending' GROUP BY flight_id) AS b
                     ON b.flight_id = f.id
                  WHERE f.held_seats <> coalesce(b.seats, 0)",
    },
    Rule {
        invariant: "I3",
        rule: "seats neither blocked nor available are those of completed bookings",
        checked: "SELECT count(*) FROM flights",
        broken: "SELECT 'flight ' || f.id FROM flights AS f
                   LEFT JOIN (SELECT flight_id, sum(seats_booked) AS seats FROM bookings
                               WHERE status = 'completed' GROUP BY flight_id) AS b
                     ON b.flight_id = f.id
                  WHERE f.total_seats - f.blocked_seats - f.available_seats
                        <> coalesce(b.seats, 0)",
    },
    Rule {
        invariant: "I4",
        rule: "captured payments are the price of what they sold, the fees kept, and their refunds",
        checked: "SELECT count(*) FROM payments WHERE status = 'captured'",
        // A difference is paid for the order of the booking that was changed.
        broken: "SELECT 'payment ' || coalesce(p.reference, p.owner) FROM (
                     SELECT coalesce(o.payment_reference_id, q.order_reference, q.reference) AS owner,
                            max(CASE q.kind WHEN 'difference' THEN NULL ELSE q.reference END) AS reference,
                            sum(q.amount) AS amount, sum(coalesce(r.amount, 0)) AS refunded
                       FROM payments AS q
                       LEFT JOIN bookings AS n
                         ON q.kind = 'difference' AND n.payment_reference_id = q.reference
                       LEFT JOIN bookings AS o ON o.id = n.replaces
                       LEFT JOIN (SELECT payment_reference_id, sum(amount) AS amount
                                    FROM refunds GROUP BY payment_reference_id) AS r
                         ON r.payment_reference_id = q.reference
                      WHERE q.status = 'captured'
                      GROUP BY coalesce(o.payment_reference_id, q.order_reference, q.reference)) AS p
                   LEFT JOIN (SELECT payment_reference_id,
                                     sum(fee + CASE status WHEN 'completed' THEN booking_price ELSE 0 END)
                                         AS price
                                FROM bookings GROUP BY payment_reference_id) AS b
                     ON b.payment_reference_id = p.owner
                  WHERE p.amount <> coalesce(b.price, 0) + p.refunded",
    },
    Rule {
        invariant: "I4",
        rule: "no refunds of a payment are above it",
        checked: "SELECT count(*) FROM refunds",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   JOIN (SELECT payment_reference_id, sum(amount) AS amount
                           FROM refunds GROUP BY payment_reference_id) AS r
                     ON r.payment_reference_id = p.reference
                  WHERE r.amount > p.amount",
    },
    Rule {
        invariant: "I4",
        rule: "a difference pays for the change of one booking, which has one such change at a time",
        checked: "SELECT count(*) FROM payments WHERE kind = 'difference'",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   LEFT JOIN bookings AS n ON n.payment_reference_id = p.reference
                   LEFT JOIN bookings AS o ON o.id = n.replaces
                  WHERE (p.kind = 'difference' OR n.replaces IS NOT NULL)
                    AND (p.kind = 'difference' AND n.segments = 1 AND n.user_id = o.user_id
                         AND o.replaces IS NULL AND o.has_changes AND p.amount <= n.booking_price
                         AND CASE n.status WHEN 'pending' THEN o.status = 'completed'
                                  ELSE n.status <> 'completed' END
                         AND NOT EXISTS (SELECT 1 FROM bookings AS m
                                          WHERE m.replaces = n.replaces AND m.id <> n.id
                                            AND m.status = 'pending' AND n.status = 'pending'))
                        IS NOT TRUE",
    },
    Rule {
        invariant: "I4",
        rule: "a payment that is not captured is the price of all that it would have paid",
        checked: "SELECT count(*) FROM payments WHERE status <> 'captured'",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   LEFT JOIN (SELECT payment_reference_id, sum(booking_price) AS price, sum(fee) AS fees,
                                     max(sold_at) IS NOT NULL AS is_changed
                                FROM bookings GROUP BY payment_reference_id) AS b
                     ON b.payment_reference_id = coalesce(p.order_reference, p.reference)
                  WHERE p.status <> 'captured' AND p.kind <> 'difference'
                    AND p.amount IS DISTINCT FROM b.price AND NOT coalesce(b.is_changed, false)
                    AND coalesce(b.fees, 0) = 0
                    AND NOT EXISTS (
                        SELECT 1 FROM refunds AS r
                          JOIN payments AS q ON q.reference = r.payment_reference_id
                         WHERE coalesce(q.order_reference, q.reference)
                               = coalesce(p.order_reference, p.reference)
                           AND (p.status = 'reversed' OR q.reference <> p.reference))",
    },
    Rule {
        invariant: "I4",
        rule: "an order's first payment is for each of its segments, and for no other booking",
        checked: "SELECT count(*) FROM payments WHERE order_reference IS NULL",
        // The database keeps a payment from paying a segment twice.
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   LEFT JOIN (SELECT payment_reference_id, count(*) AS bookings,
                                     min(segments) AS fewest, max(segments) AS most,
                                     min(segment) AS first, max(segment) AS last,
                                     min(user_id) = max(user_id) AS is_one_user,
                                     min(coalesce(order_id, id)) = max(coalesce(order_id, id))
                                         AS is_one_order
                                FROM bookings GROUP BY payment_reference_id) AS b
                     ON b.payment_reference_id = p.reference
                  WHERE p.order_reference IS NULL
                    AND (b.bookings = b.fewest AND b.fewest = b.most AND b.first = 1
                         AND b.last = b.most AND b.is_one_user AND b.is_one_order) IS NOT TRUE",
    },
    Rule {
        invariant: "I4",
        rule: "a further attempt pays the order of a first one that is paid later",
        checked: "SELECT count(*) FROM payments WHERE order_reference IS NOT NULL",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   LEFT JOIN payments AS f ON f.reference = p.order_reference
                  WHERE p.order_reference IS NOT NULL
                    AND (f.attempt = 1 AND f.kind = 'later' AND p.kind = 'later' AND f.currency = p.currency
                         AND p.attempt > 1) IS NOT TRUE",
    },
    Rule {
        invariant: "I4",
        rule: "an order has one open or captured payment at most",
        checked: "SELECT count(*) FROM payments WHERE status IN ('requested', 'captured')",
        broken: "SELECT 'payment ' || min(p.reference) FROM payments AS p
                  WHERE p.status IN ('requested', 'captured')
                  GROUP BY coalesce(p.order_reference, p.reference) HAVING count(*) > 1",
    },
    Rule {
        invariant: "I4",
        rule: "bookings of an order that is not paid have one status",
        checked: "SELECT count(*) FROM payments WHERE status <> 'captured'",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   JOIN bookings AS b ON b.payment_reference_id = p.reference
                  WHERE p.status <> 'captured'
                    AND NOT EXISTS (SELECT 1 FROM payments AS q
                                     WHERE q.order_reference = p.reference
                                       AND q.status = 'captured')
                  GROUP BY p.reference HAVING min(b.status) <> max(b.status)",
    },
    Rule {
        invariant: "I4",
        rule: "a refund gives back money of a captured payment, for a booking that it paid",
        checked: "SELECT count(*) FROM refunds",
        broken: "SELECT 'refund ' || r.id FROM refunds AS r
                   LEFT JOIN payments AS p ON p.reference = r.payment_reference_id
                   LEFT JOIN bookings AS b ON b.id = r.booking_id
                   LEFT JOIN bookings AS n
                     ON p.kind = 'difference' AND n.payment_reference_id = p.reference
                   LEFT JOIN bookings AS o ON o.id = n.replaces
                  WHERE coalesce(p.status, '') NOT IN ('captured', 'reversed')
                     OR b.payment_reference_id IS DISTINCT FROM
                        coalesce(o.payment_reference_id, p.order_reference, p.reference)",
    },
    Rule {
        invariant: "I4",
        rule: "the payment of a completed booking is captured, that of a failed one is not",
        checked: "SELECT count(*) FROM bookings WHERE status IN ('completed', 'failed')",
        broken: "SELECT 'booking ' || b.id FROM bookings AS b
                  WHERE b.status IN ('completed', 'failed')
                    AND (b.status = 'completed') IS DISTINCT FROM EXISTS (
                        SELECT 1 FROM payments AS p
                         WHERE p.status = 'captured'
                           AND (p.reference = b.payment_reference_id
                                OR p.order_reference = b.payment_reference_id
                                   AND p.order_reference IS NOT NULL))",
    },
    Rule {
        invariant: "I4",
        rule: "a booking is pending if and only if a payment of its order is requested",
        checked: "SELECT count(*) FROM bookings",
        broken: "SELECT 'booking ' || b.id FROM bookings AS b
                  WHERE (b.status = 'pending') IS DISTINCT FROM EXISTS (
                        SELECT 1 FROM payments AS p
                         WHERE p.status = 'requested'
                           AND (p.reference = b.payment_reference_id
                                OR p.order_reference = b.payment_reference_id
                                   AND p.order_reference IS NOT NULL))",
    },
    Rule {
        invariant: "I4",
        rule: "the gateway has captured what we call captured, for the same amount",
        checked: "SELECT count(*) FROM payments
                   WHERE status = 'captured' AND method <> 'adopted' AND gateway IS NULL",
        broken: "SELECT 'payment ' || p.reference FROM payments AS p
                   LEFT JOIN gateway_ledger AS g ON g.reference = p.reference
                  WHERE p.status = 'captured' AND p.method <> 'adopted' AND p.gateway IS NULL
                    AND (g.state IS DISTINCT FROM 'captured' OR g.amount IS DISTINCT FROM p.amount)",
    },
    Rule {
        invariant: "I4",
        rule: "what the gateway keeps is captured here, or about to be settled or reversed",
        checked: "SELECT count(*) FROM gateway_ledger WHERE state = 'captured'",
        broken: "SELECT 'payment ' || g.reference FROM gateway_ledger AS g
                   LEFT JOIN payments AS p ON p.reference = g.reference
                  WHERE g.state = 'captured'
                    AND coalesce(p.status, '') NOT IN
                        ('captured', 'requested', 'reversal_requested')",
    },
    Rule {
        invariant: "I4",
        rule: "the gateway has made what we call refunded, for the same amount",
        checked: "SELECT count(*) FROM refunds WHERE status = 'done'",
        broken: "SELECT 'refund ' || r.id FROM refunds AS r
                   JOIN payments AS p ON p.reference = r.payment_reference_id AND p.gateway IS NULL
                   LEFT JOIN gateway_refunds AS g ON g.id = r.id
                  WHERE r.status = 'done'
                    AND (g.amount IS DISTINCT FROM r.amount
                         OR g.reference IS DISTINCT FROM r.payment_reference_id)",
    },
    Rule {
        invariant: "I4",
        rule: "what the gateway refunded was requested here",
        checked: "SELECT count(*) FROM gateway_refunds",
        broken: "SELECT 'refund ' || g.id FROM gateway_refunds AS g
                   LEFT JOIN refunds AS r ON r.id = g.id
                  WHERE r.amount IS DISTINCT FROM g.amount
                     OR r.payment_reference_id IS DISTINCT FROM g.reference",
    },
    Rule {
        invariant: "I5",
        rule: "no booking stays pending past its hold",
        checked: "SELECT count(*) FROM bookings WHERE status = 'pending'",
        broken: "SELECT 'booking ' || id FROM bookings
                  WHERE status = 'pending' AND hold_expires_at < $1",
    },
    Rule {
        invariant: "I7",
        rule: "a flight counts the parties that wait for it",
        checked: "SELECT count(*) FROM flights WHERE waiting > 0",
        broken: "SELECT 'flight ' || f.id FROM flights AS f
                   LEFT JOIN (SELECT flight_id, count(*) AS parties FROM waitlist
                               WHERE status = 'waiting' GROUP BY flight_id) AS w
                     ON w.flight_id = f.id
                  WHERE f.waiting <> coalesce(w.parties, 0)",
    },
    Rule {
        invariant: "I7",
        rule: "no line stays unserved",
        checked: "SELECT count(*) FROM flights WHERE waiting > 0",
        broken: "SELECT 'flight ' || f.id FROM flights AS f
                  WHERE f.waiting > 0
                    AND (f.serve_due AND f.updated_at < $1 OR f.gathers_until < $1)",
    },
    Rule {
        invariant: "I7",
        rule: "no free seats are kept from a party that waits and fits, unless they gather",
        checked: "SELECT count(*) FROM waitlist WHERE status = 'waiting'",
        broken: "SELECT 'entry ' || w.id FROM waitlist AS w
                   JOIN flights AS f ON f.id = w.flight_id
                  WHERE w.status = 'waiting' AND f.updated_at < $1 AND f.gathers_until IS NULL
                    AND w.seats <= f.available_seats - f.held_seats
                    AND (w.max_price IS NULL OR f.price <= w.max_price)",
    },
    Rule {
        invariant: "I7",
        rule: "nobody waits beyond the end of an entry",
        checked: "SELECT count(*) FROM waitlist WHERE status = 'waiting'",
        broken: "SELECT 'entry ' || w.id FROM waitlist AS w
                   JOIN flights AS f ON f.id = w.flight_id
                  WHERE w.status = 'waiting'
                    AND (w.until < $1 OR f.timestamp > f.created_at AND f.timestamp < $1
                         OR f.flight_status IN ('departed', 'cancelled') AND f.updated_at < $1)",
    },
    Rule {
        invariant: "I7",
        rule: "an offer is the booking that its entry may become",
        checked: "SELECT count(*) FROM waitlist WHERE status IN ('offered', 'promoted')",
        broken: "SELECT 'entry ' || w.id FROM waitlist AS w
                   LEFT JOIN bookings AS b ON b.id = w.id
                  WHERE w.status IN ('offered', 'promoted')
                    AND (b.payment_reference_id = w.payment_reference_id
                         AND b.user_id = w.user_id) IS NOT TRUE",
    },
];

impl Finding {
    /// Whether the rule holds only while a service runs: without one nothing expires and no line is served.
    pub fn needs_a_service(&self) -> bool {
        RULES.iter().any(|rule| rule.rule == self.rule && rule.is_timed())
    }
}

impl Rule {
    /// Whether [`Rule::broken`] has a parameter.
    pub(in crate::store) fn is_timed(&self) -> bool {
        self.broken.contains("$1")
    }

    pub(in crate::store) fn finding(&self, checked: i64, broken: Vec<String>) -> Finding {
        Finding {
            invariant: self.invariant,
            rule: self.rule,
            checked,
            violations: broken.len() as i64,
            examples: broken.into_iter().take(EXAMPLES_MAX).collect(),
        }
    }
}
