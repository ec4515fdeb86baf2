-- Payments that the simulated gateway captures only after their payer has approved them on its page.
CREATE TABLE gateway_challenges (
    reference VARCHAR(255) COLLATE "C" PRIMARY KEY,
    amount NUMERIC NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    -- Where the payer goes afterwards.
    return_url TEXT,
    -- NULL until the payer has acted.
    verdict TEXT,
    updated_at TIMESTAMP NOT NULL,
    CONSTRAINT gateway_challenges_amount_in_range CHECK (amount > 0 AND amount <= 9999999999),
    CONSTRAINT gateway_challenges_verdict_known CHECK (verdict IN ('approved', 'declined'))
);
