-- When a booking's passengers were erased; NULL while they are kept. Without an index: holds would pay.
ALTER TABLE bookings ADD COLUMN erased_at INTEGER;

-- What erasures of a user's personal data did; a row for each, without a personal value.
CREATE TABLE erasures (
    id INTEGER PRIMARY KEY,
    -- Whose data: the number that the issuer of tokens gave.
    user_id INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    -- NULL until it has come to its end: the next run goes on with it.
    ended_at INTEGER,
    -- Bookings whose passengers were replaced.
    bookings INTEGER NOT NULL,
    -- Idempotency keys that were deleted.
    keys INTEGER NOT NULL,
    -- Bookings that were kept, being yet to fly; NULL until the end.
    kept INTEGER
) STRICT;

CREATE UNIQUE INDEX erasures_open ON erasures (user_id) WHERE ended_at IS NULL;
CREATE INDEX erasures_by_user ON erasures (user_id, id);

-- Passengers are erased some time after departure (PASSENGER_RETENTION). No booking moves a departure, so
-- none writes to this index.
CREATE INDEX flights_by_departure ON flights (timestamp, id);
