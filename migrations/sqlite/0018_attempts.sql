-- Attempts to pay: an order may be held first and paid later, by up to five payments one after the other. Payments
-- from before are the only attempt of their order.

-- Its place among the order's attempts.
ALTER TABLE payments ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1
    CONSTRAINT payments_attempt_positive CHECK (attempt > 0);
-- The order's first payment, which its bookings name; NULL: this one.
ALTER TABLE payments ADD COLUMN order_reference TEXT
    CONSTRAINT payments_order_of_attempt CHECK ((order_reference IS NULL) = (attempt = 1));
-- Whether the order is paid at once or later.
ALTER TABLE payments ADD COLUMN kind TEXT NOT NULL DEFAULT 'now'
    CONSTRAINT payments_kind_known CHECK (kind IN ('now', 'later'));
-- What a requested payment waits for: the user's method, or the payer's action; NULL: the gateway.
ALTER TABLE payments ADD COLUMN waits_for TEXT
    CONSTRAINT payments_waits_for_known CHECK (waits_for IN ('method', 'payer'));
-- Where the payer goes after an action at the gateway.
ALTER TABLE payments ADD COLUMN return_url TEXT;
-- The payer's action, as JSON.
ALTER TABLE payments ADD COLUMN next_action TEXT;
-- Why the gateway declined.
ALTER TABLE payments ADD COLUMN decline_reason TEXT;
-- The gateway that has taken it up; NULL: the simulated one, or none yet.
ALTER TABLE payments ADD COLUMN gateway TEXT;
-- The gateway's own name for it.
ALTER TABLE payments ADD COLUMN gateway_reference TEXT;
-- Whether its hold was extended.
ALTER TABLE bookings ADD COLUMN extended INTEGER NOT NULL DEFAULT 0
    CONSTRAINT bookings_extended_known CHECK (extended IN (0, 1));

-- From an order to its further attempts; few orders have any.
CREATE INDEX payments_of_order ON payments (order_reference, attempt)
    WHERE order_reference IS NOT NULL;
-- From a gateway's own name to the payment.
CREATE INDEX payments_by_gateway ON payments (gateway_reference)
    WHERE gateway_reference IS NOT NULL;
