-- Money of captured payments that goes back, in part or whole: one row for each refund.
CREATE TABLE refunds (
    -- REF- and 32 hexadecimal digits; the gateway's idempotency key.
    id TEXT PRIMARY KEY,
    payment_reference_id TEXT NOT NULL REFERENCES payments (reference),
    -- The booking that was cancelled, in part or whole.
    booking_id INTEGER NOT NULL REFERENCES bookings (id),
    -- In the payment's currency.
    amount INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status TEXT NOT NULL,
    -- The gateway's own name for it, once it gave one.
    gateway_reference TEXT,
    -- How often it was requested from the gateway.
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    -- When the status last changed, or the gateway was last asked again.
    updated_at INTEGER NOT NULL,
    CONSTRAINT refunds_amount_positive CHECK (amount > 0),
    CONSTRAINT refunds_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT refunds_status_known CHECK (status IN ('requested', 'done', 'failed'))
) STRICT, WITHOUT ROWID;

-- The sweeper's look for refunds that the gateway never answered.
CREATE INDEX refunds_unanswered ON refunds (updated_at) WHERE status = 'requested';
-- From a payment to its refunds.
CREATE INDEX refunds_by_payment ON refunds (payment_reference_id);

-- Refunds in the simulated gateway's own books.
CREATE TABLE gateway_refunds (
    id TEXT PRIMARY KEY,
    -- The payment. What its refunds add up to is never more than what was captured.
    reference TEXT NOT NULL REFERENCES gateway_ledger (reference),
    amount INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT gateway_refunds_amount_positive CHECK (amount > 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_refunds_by_payment ON gateway_refunds (reference);
