-- Instants are microseconds since 1970-01-01T00:00:00Z; money is in hundredths of its currency.

-- One dated departure and its seat inventory.
CREATE TABLE flights (
    id INTEGER PRIMARY KEY,
    -- The carrier's designator, if it gave one.
    flight_number TEXT,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    -- Source and destination as a search compares them: lower case, outer spaces gone.
    route TEXT NOT NULL,
    -- Departure.
    timestamp INTEGER NOT NULL,
    arrival_timestamp INTEGER,
    -- Seats not yet paid for; moves only when a payment is captured or refunded.
    available_seats INTEGER NOT NULL,
    -- Of those, seats kept for pending bookings. What can be bought now is the difference.
    held_seats INTEGER NOT NULL DEFAULT 0,
    -- Seats sold elsewhere.
    blocked_seats INTEGER NOT NULL DEFAULT 0,
    total_seats INTEGER NOT NULL,
    flight_status TEXT NOT NULL DEFAULT 'scheduled',
    price INTEGER NOT NULL,
    -- ISO 4217.
    currency TEXT NOT NULL,
    -- Grows by one with each change; a commit writes only against the version it was decided on.
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT flights_source_is_not_destination CHECK (source <> destination),
    CONSTRAINT flights_held_within_available CHECK (held_seats BETWEEN 0 AND available_seats),
    CONSTRAINT flights_blocked_not_negative CHECK (blocked_seats >= 0),
    CONSTRAINT flights_seats_within_total CHECK (available_seats + blocked_seats <= total_seats),
    CONSTRAINT flights_total_positive CHECK (total_seats > 0),
    CONSTRAINT flights_price_positive CHECK (price > 0),
    CONSTRAINT flights_status_known CHECK (
        flight_status IN ('scheduled', 'on_time', 'delayed', 'departed', 'cancelled')
    )
) STRICT;

-- Searches: one route, one day.
CREATE INDEX flights_by_route ON flights (route, timestamp);
-- The sweeper's look for bookings of cancelled flights.
CREATE INDEX flights_cancelled ON flights (id) WHERE flight_status = 'cancelled';

-- Money asked of the gateway, one row for each reference.
CREATE TABLE payments (
    -- PAY- and 32 hexadecimal digits; the gateway's idempotency key.
    reference TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    -- The gateway's token.
    method TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- When the status last changed, or the gateway was last asked again.
    updated_at INTEGER NOT NULL,
    CONSTRAINT payments_amount_positive CHECK (amount > 0),
    CONSTRAINT payments_status_known CHECK (
        status IN ('requested', 'captured', 'declined', 'reversal_requested', 'reversed')
    )
) STRICT, WITHOUT ROWID;

-- The sweeper's look for payments that the gateway never answered.
CREATE INDEX payments_unanswered ON payments (updated_at)
    WHERE status IN ('requested', 'reversal_requested');

-- Seats on one flight for one user's party.
CREATE TABLE bookings (
    id INTEGER PRIMARY KEY,
    flight_id INTEGER NOT NULL REFERENCES flights (id),
    user_id INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    failure_reason TEXT,
    payment_reference_id TEXT NOT NULL REFERENCES payments (reference),
    -- The price of all its seats.
    booking_price INTEGER NOT NULL,
    seats_booked INTEGER NOT NULL,
    -- The passengers, a JSON array. Personal data.
    booking_metadata TEXT,
    -- Until when the seats are kept for the payment.
    hold_expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT bookings_price_positive CHECK (booking_price > 0),
    CONSTRAINT bookings_seats_positive CHECK (seats_booked > 0),
    CONSTRAINT bookings_status_known CHECK (
        status IN ('pending', 'completed', 'failed', 'cancelled')
    ),
    CONSTRAINT bookings_failed_with_reason CHECK ((status = 'failed') = (failure_reason IS NOT NULL))
) STRICT;

-- A user's bookings, newest first.
CREATE INDEX bookings_by_user ON bookings (user_id, id);
-- From a payment to what it pays.
CREATE UNIQUE INDEX bookings_by_payment ON bookings (payment_reference_id);
-- The bookings of a cancelled flight that are still to be cancelled.
CREATE INDEX bookings_live ON bookings (flight_id) WHERE status IN ('pending', 'completed');
-- Holds by their end.
CREATE INDEX bookings_pending ON bookings (hold_expires_at) WHERE status = 'pending';

-- What a caller's Idempotency-Key made; kept for 24 hours.
CREATE TABLE idempotency_keys (
    user_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request, hexadecimal.
    request_hash TEXT NOT NULL,
    booking_id INTEGER NOT NULL REFERENCES bookings (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- What others must be told after a commit, written in that same commit: its messages in a row or a
-- few. A row for each message would cost more than the booking that it tells of.
CREATE TABLE outbox (
    -- Drawn by the insert, never again: ids follow the order of commits.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- How many messages.
    messages INTEGER NOT NULL,
    -- When what the first of them tells happened.
    since INTEGER NOT NULL,
    -- JSON: for each its topic, and its key, payload and headers.
    body TEXT NOT NULL
) STRICT;

-- Cached answers that a commit ended, for a crash before they were ended in Redis.
CREATE TABLE outdated_answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- JSON: routes and days, or all.
    body TEXT NOT NULL
) STRICT;

-- The simulated payment gateway's own books: another party's, which the audit compares with ours.
CREATE TABLE gateway_ledger (
    reference TEXT PRIMARY KEY,
    -- NULL where a reversal came before any capture.
    amount INTEGER,
    method TEXT,
    state TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT gateway_ledger_state_known CHECK (
        state IN ('captured', 'declined', 'voided', 'refunded')
    )
) STRICT, WITHOUT ROWID;
