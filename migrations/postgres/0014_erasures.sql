-- When a booking's passengers were erased; NULL while they are kept. Without an index: holds would pay.
ALTER TABLE bookings ADD COLUMN erased_at TIMESTAMP;

-- What erasures of a user's personal data did; a row for each, without a personal value.
CREATE TABLE erasures (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Whose data: the number that the issuer of tokens gave.
    user_id BIGINT NOT NULL,
    began_at TIMESTAMP NOT NULL,
    -- NULL until it has come to its end: the next run goes on with it.
    ended_at TIMESTAMP,
    -- Bookings whose passengers were replaced.
    bookings BIGINT NOT NULL,
    -- Idempotency keys that were deleted.
    keys BIGINT NOT NULL,
    -- Bookings that were kept, being yet to fly; NULL until the end.
    kept BIGINT
);

CREATE UNIQUE INDEX erasures_open ON erasures (user_id) WHERE ended_at IS NULL;
CREATE INDEX erasures_by_user ON erasures (user_id, id);

-- Passengers are erased some time after departure (PASSENGER_RETENTION). No booking moves a departure, so
-- none writes to this index.
CREATE INDEX flights_by_departure ON flights (timestamp, id);
