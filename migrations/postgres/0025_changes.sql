-- Changes of flight. While a difference is to be paid, a booking of its own holds the seats of the new flight; it names
-- the booking that it replaces, and is shown nowhere. The check is validated after this transaction, beside readers
-- and writers.
ALTER TABLE bookings
    -- The booking whose change it holds seats for; NULL: it is a booking by itself.
    ADD COLUMN replaces BIGINT,
    -- Whether seats were ever held for a change of it: only then are there bookings that replace it.
    ADD COLUMN has_changes BOOLEAN NOT NULL DEFAULT false,
    -- When a change sold its present flight to it; NULL: when it was made.
    ADD COLUMN sold_at TIMESTAMP;
ALTER TABLE payments
    DROP CONSTRAINT payments_kind_known,
    ADD CONSTRAINT payments_kind_known CHECK (kind IN ('now', 'later', 'difference')) NOT VALID;
-- From a booking to those that replace it; few are changed.
CREATE INDEX bookings_by_replaced ON bookings (replaces) WHERE replaces IS NOT NULL;
