-- What the booking engine needs beyond the specified tables; rows that are there are adopted.
-- TIMESTAMP columns hold UTC. The service compares against its own clock: no default, no trigger and
-- no statement of the service asks the database for the time.

-- Instants and money as the service counts them: microseconds since 1970, hundredths.
CREATE FUNCTION micros(timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (extract(epoch FROM $1) * 1000000)::bigint $$;
CREATE FUNCTION instant(bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT timestamp 'epoch' + $1 * interval '1 microsecond' $$;
CREATE FUNCTION minor(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT ($1 * 100)::bigint $$;
CREATE FUNCTION major(bigint) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT $1 * 0.01 $$;

-- The end of a commit that wrote fewer bookings and payments than it was to: nothing is written.
CREATE FUNCTION all_written(boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT $1 THEN
        RAISE EXCEPTION 'a booking or payment had moved' USING ERRCODE = 'AB001';
    END IF;
    RETURN true;
END $$;

-- Triggers of an earlier service would write another clock's time, and these indexes of its are
-- replaced by those below.
DROP TRIGGER IF EXISTS update_flights_updated_at ON flights;
DROP TRIGGER IF EXISTS update_bookings_updated_at ON bookings;
DROP INDEX IF EXISTS idx_flights_search, idx_flights_status, idx_bookings_flight_id,
    idx_bookings_user_id, idx_bookings_status, idx_bookings_created_at;

-- Flights: one dated departure and its seat inventory.
ALTER TABLE flights
    -- The carrier's designator, if it gave one.
    ADD COLUMN flight_number TEXT,
    -- Source and destination as a search compares them: lower case, outer spaces gone.
    ADD COLUMN route TEXT,
    ADD COLUMN arrival_timestamp TIMESTAMP,
    -- Of the available seats, those kept for pending bookings.
    ADD COLUMN held_seats INTEGER NOT NULL DEFAULT 0,
    -- Seats sold elsewhere.
    ADD COLUMN blocked_seats INTEGER NOT NULL DEFAULT 0,
    -- ISO 4217.
    ADD COLUMN currency TEXT;

UPDATE flights SET
    route = lower(trim(source)) || '#' || lower(trim(destination)),
    currency = current_setting('airline_booking.currency'),
    flight_status = coalesce(flight_status, 'scheduled'),
    version = coalesce(version, 1),
    created_at = coalesce(created_at, timestamp),
    updated_at = coalesce(updated_at, created_at, timestamp),
    blocked_seats = total_seats - available_seats - coalesce((
        SELECT sum(b.seats_booked) FROM bookings AS b
         WHERE b.flight_id = flights.id AND b.status = 'completed'), 0);

ALTER TABLE flights
    ALTER COLUMN route SET NOT NULL,
    ALTER COLUMN currency SET NOT NULL,
    ALTER COLUMN flight_status SET NOT NULL,
    ALTER COLUMN version SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN updated_at SET NOT NULL,
    ADD CONSTRAINT flights_source_is_not_destination CHECK (source <> destination),
    ADD CONSTRAINT flights_held_within_available CHECK (held_seats BETWEEN 0 AND available_seats),
    ADD CONSTRAINT flights_blocked_not_negative CHECK (blocked_seats >= 0),
    ADD CONSTRAINT flights_seats_within_total CHECK (available_seats + blocked_seats <= total_seats),
    ADD CONSTRAINT flights_total_positive CHECK (total_seats > 0),
    ADD CONSTRAINT flights_price_positive CHECK (price > 0),
    ADD CONSTRAINT flights_status_known CHECK (
        flight_status IN ('scheduled', 'on_time', 'delayed', 'departed', 'cancelled')
    ),
    -- Room in each page for the next version of its rows, which then touches no index.
    SET (fillfactor = 60);

-- Searches: one route, one day.
CREATE INDEX flights_by_route ON flights (route, timestamp);
-- The sweeper's look for cancelled flights that still have bookings: those with seats held or sold.
CREATE INDEX flights_cancelled ON flights (id)
    WHERE flight_status = 'cancelled'
      AND (held_seats > 0 OR available_seats + blocked_seats < total_seats);

-- Payments: money asked of the gateway, one row for each reference.
CREATE TABLE payments (
    -- PAY- and 32 hexadecimal digits; the gateway's idempotency key.
    reference VARCHAR(255) PRIMARY KEY,
    amount DECIMAL(10,2) NOT NULL,
    currency TEXT NOT NULL,
    -- The gateway's token; 'adopted' for payments of an earlier service.
    method TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Until when the seats are kept for it; NULL for adopted ones, which keep none.
    hold_expires_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    -- When the status last changed, or the gateway was last asked again.
    updated_at TIMESTAMP NOT NULL,
    CONSTRAINT payments_amount_positive CHECK (amount > 0),
    CONSTRAINT payments_status_known CHECK (
        status IN ('requested', 'captured', 'declined', 'reversal_requested', 'reversed')
    )
) WITH (fillfactor = 80);

-- Bookings: seats on one flight for one user's party.
ALTER TABLE bookings
    ADD COLUMN failure_reason TEXT,
    -- Until when the seats are kept for the payment.
    ADD COLUMN hold_expires_at TIMESTAMP;

UPDATE bookings SET
    -- Their payment never ran.
    failure_reason = CASE coalesce(status, 'pending')
        WHEN 'pending' THEN 'adopted' WHEN 'failed' THEN 'payment_declined' END,
    status = CASE coalesce(status, 'pending') WHEN 'pending' THEN 'failed' ELSE status END,
    created_at = coalesce(created_at, updated_at, timestamp 'epoch'),
    updated_at = coalesce(updated_at, created_at, timestamp 'epoch'),
    hold_expires_at = coalesce(created_at, updated_at, timestamp 'epoch');

-- A reference that is missing, malformed or used twice is drawn anew.
UPDATE bookings SET payment_reference_id = 'PAY-' || replace(gen_random_uuid()::text, '-', '')
 WHERE payment_reference_id IS NULL
    OR payment_reference_id !~ '^PAY-[0-9a-f]{32}$'
    OR EXISTS (SELECT 1 FROM bookings AS earlier
                WHERE earlier.payment_reference_id = bookings.payment_reference_id
                  AND earlier.id < bookings.id);

INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
SELECT payment_reference_id, booking_price, current_setting('airline_booking.currency'), 'adopted',
       CASE status WHEN 'completed' THEN 'captured' WHEN 'failed' THEN 'declined' ELSE 'reversed' END,
       created_at, updated_at
  FROM bookings;

-- The sweeper's look for payments that the gateway never answered, and for holds by their end.
CREATE INDEX payments_unanswered ON payments (updated_at)
    WHERE status IN ('requested', 'reversal_requested');
CREATE INDEX payments_holding ON payments (hold_expires_at) WHERE status = 'requested';

ALTER TABLE bookings
    ALTER COLUMN flight_id SET NOT NULL,
    ALTER COLUMN status SET NOT NULL,
    ALTER COLUMN payment_reference_id SET NOT NULL,
    ALTER COLUMN hold_expires_at SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN updated_at SET NOT NULL,
    ADD CONSTRAINT bookings_price_positive CHECK (booking_price > 0),
    ADD CONSTRAINT bookings_seats_positive CHECK (seats_booked > 0),
    ADD CONSTRAINT bookings_status_known CHECK (
        status IN ('pending', 'completed', 'failed', 'cancelled')
    ),
    ADD CONSTRAINT bookings_failed_with_reason CHECK (
        (status = 'failed') = (failure_reason IS NOT NULL)
    ),
    SET (fillfactor = 80);

-- A user's bookings, newest first.
CREATE INDEX bookings_by_user ON bookings (user_id, id);
-- From a payment to what it pays.
CREATE UNIQUE INDEX bookings_by_payment ON bookings (payment_reference_id);
-- The bookings of a flight that was cancelled. No index here is about the status, so that a booking
-- that ends touches none.
CREATE INDEX bookings_by_flight ON bookings (flight_id);

-- What a caller's Idempotency-Key made; kept for 24 hours.
CREATE TABLE idempotency_keys (
    user_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request, hexadecimal.
    request_hash TEXT NOT NULL,
    booking_id BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (user_id, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- What others must be told after a commit, written in that same commit: its messages in a row or a
-- few. A row for each message would cost more than the booking that it tells of.
CREATE TABLE outbox (
    -- Drawn by the insert, after its flights' rows are locked: ids follow commit order per flight.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- How many messages.
    messages INTEGER NOT NULL,
    -- When what the first of them tells happened.
    since TIMESTAMP NOT NULL,
    -- JSON: for each its topic, and its key, payload and headers.
    body TEXT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000);

-- Cached answers that a commit ended, for a crash before they were ended in Redis.
CREATE TABLE outdated_answers (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- JSON: routes and days, or all.
    body TEXT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Many times faster than the default, but a server may have been built without it.
DO $$ BEGIN
    ALTER TABLE outbox ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE outdated_answers ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR syntax_error THEN NULL; END $$;

-- The simulated payment gateway's own books: another party's, which the audit compares with ours.
CREATE TABLE gateway_ledger (
    reference VARCHAR(255) PRIMARY KEY,
    -- NULL where a reversal came before any capture.
    amount DECIMAL(10,2),
    method TEXT,
    state TEXT NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CONSTRAINT gateway_ledger_state_known CHECK (
        state IN ('captured', 'declined', 'voided', 'refunded')
    )
);
