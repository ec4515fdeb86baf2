-- Attempts to pay: an order may be held first and paid later, by up to five payments one after the other. Payments
-- from before are the only attempt of their order; the defaults write no row again.
ALTER TABLE payments
    -- The order's first payment, which its bookings name; NULL: this one.
    ADD COLUMN order_reference TEXT COLLATE "C",
    -- Its place among the order's attempts.
    ADD COLUMN attempt SMALLINT NOT NULL DEFAULT 1,
    -- Whether the order is paid at once or later.
    ADD COLUMN kind TEXT NOT NULL DEFAULT 'now',
    -- What a requested payment waits for: the user's method, or the payer's action; NULL: the gateway.
    ADD COLUMN waits_for TEXT,
    -- Where the payer goes after an action at the gateway.
    ADD COLUMN return_url TEXT,
    -- The payer's action, as JSON.
    ADD COLUMN next_action TEXT,
    -- Why the gateway declined.
    ADD COLUMN decline_reason TEXT,
    -- The gateway that has taken it up; NULL: the simulated one, or none yet.
    ADD COLUMN gateway TEXT,
    -- The gateway's own name for it.
    ADD COLUMN gateway_reference TEXT COLLATE "C",
    ADD CONSTRAINT payments_attempt_positive CHECK (attempt > 0) NOT VALID,
    ADD CONSTRAINT payments_order_of_attempt
        CHECK ((order_reference IS NULL) = (attempt = 1)) NOT VALID,
    ADD CONSTRAINT payments_kind_known CHECK (kind IN ('now', 'later')) NOT VALID,
    ADD CONSTRAINT payments_waits_for_known CHECK (waits_for IN ('method', 'payer')) NOT VALID;
ALTER TABLE bookings
    -- Whether its hold was extended.
    ADD COLUMN extended BOOLEAN NOT NULL DEFAULT false;

-- From an order to its further attempts; few orders have any.
CREATE INDEX payments_of_order ON payments (order_reference, attempt)
    WHERE order_reference IS NOT NULL;
-- From a gateway's own name to the payment.
CREATE INDEX payments_by_gateway ON payments (gateway_reference)
    WHERE gateway_reference IS NOT NULL;
