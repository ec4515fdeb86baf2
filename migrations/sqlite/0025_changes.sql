-- Changes of flight. While a difference is to be paid, a booking of its own holds the seats of the new flight; it names
-- the booking that it replaces, and is shown nowhere.

-- The booking whose change it holds seats for; NULL: it is a booking by itself.
ALTER TABLE bookings ADD COLUMN replaces INTEGER;
-- Whether seats were ever held for a change of it: only then are there bookings that replace it.
ALTER TABLE bookings ADD COLUMN has_changes INTEGER NOT NULL DEFAULT 0
    CONSTRAINT bookings_has_changes_known CHECK (has_changes IN (0, 1));
-- When a change sold its present flight to it; NULL: when it was made.
ALTER TABLE bookings ADD COLUMN sold_at INTEGER;
-- From a booking to those that replace it; few are changed.
CREATE INDEX bookings_by_replaced ON bookings (replaces) WHERE replaces IS NOT NULL;

-- A check can't be changed: the column is made anew.
ALTER TABLE payments ADD COLUMN kind_of_three TEXT NOT NULL DEFAULT 'now'
    CONSTRAINT payments_kind_known CHECK (kind_of_three IN ('now', 'later', 'difference'));
UPDATE payments SET kind_of_three = kind WHERE kind <> 'now';
ALTER TABLE payments DROP COLUMN kind;
ALTER TABLE payments RENAME COLUMN kind_of_three TO kind;
