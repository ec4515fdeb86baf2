-- Payments that the simulated gateway captures only after their payer has approved them on its page.
CREATE TABLE gateway_challenges (
    reference TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    -- Where the payer goes afterwards.
    return_url TEXT,
    -- NULL until the payer has acted.
    verdict TEXT,
    updated_at INTEGER NOT NULL,
    CONSTRAINT gateway_challenges_amount_positive CHECK (amount > 0),
    CONSTRAINT gateway_challenges_verdict_known CHECK (verdict IN ('approved', 'declined'))
) STRICT, WITHOUT ROWID;
