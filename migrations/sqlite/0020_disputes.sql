-- Disputes: the payer asked the bank for the money of a captured payment. NULL: there was none.
ALTER TABLE payments ADD COLUMN dispute TEXT
    CONSTRAINT payments_dispute_known CHECK (dispute IN ('open', 'won', 'lost'));
-- Refunds that the gateway refused: still owed.
CREATE INDEX refunds_failed ON refunds (created_at) WHERE status = 'failed';
