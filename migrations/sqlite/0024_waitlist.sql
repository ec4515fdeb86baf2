-- The marks of a flight's waiting list: what a hold must know of it. Flights that nobody waits for keep the defaults.

-- Number of parties that wait.
ALTER TABLE flights ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0
    CONSTRAINT flights_waiting_not_negative CHECK (waiting >= 0);
-- Whether free seats must be given to them before anybody else gets any.
ALTER TABLE flights ADD COLUMN serve_due INTEGER NOT NULL DEFAULT 0
    CONSTRAINT flights_serve_due_known CHECK (serve_due IN (0, 1));
-- Until when free seats gather for a party; NULL: they don't.
ALTER TABLE flights ADD COLUMN gathers_until INTEGER;
-- New holds that got seats while parties waited, ever.
ALTER TABLE flights ADD COLUMN passed INTEGER NOT NULL DEFAULT 0
    CONSTRAINT flights_passed_not_negative CHECK (passed >= 0);
-- The value of passed at which seats must gather; NULL: none.
ALTER TABLE flights ADD COLUMN passed_max INTEGER;

-- Parties that wait for seats of a flight, and what became of them.
CREATE TABLE waitlist (
    -- Of the numbers of bookings: also that of the booking that the entry may become.
    id INTEGER PRIMARY KEY,
    flight_id INTEGER NOT NULL REFERENCES flights (id),
    user_id INTEGER NOT NULL,
    -- Its place in the line: the flight's version at the joining.
    place INTEGER NOT NULL,
    seats INTEGER NOT NULL,
    -- Passengers as JSON, while the party waits; then its booking has them, or nobody.
    passengers TEXT,
    mode TEXT NOT NULL,
    -- How an automatic purchase is paid.
    payment_method TEXT,
    -- Maximum price of a seat, in the flight's currency; NULL: any.
    max_price INTEGER,
    -- When its user stops waiting; NULL: at the departure.
    until INTEGER,
    -- An open offer stays 'offered' until a walk notes what became of its booking.
    status TEXT NOT NULL,
    -- Why it lapsed.
    reason TEXT,
    -- How often it was overtaken, without the holds since passed_before.
    overtaken INTEGER NOT NULL DEFAULT 0,
    -- The flight's passed from which holds count; NULL: they don't.
    passed_before INTEGER,
    -- When seats have gathered for it for the longest time; NULL: they never did.
    gathers_until INTEGER,
    payment_reference_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Grows by one with each change.
    version INTEGER NOT NULL DEFAULT 1,
    CONSTRAINT waitlist_seats_positive CHECK (seats > 0),
    CONSTRAINT waitlist_mode_known CHECK (mode IN ('ask', 'auto')),
    CONSTRAINT waitlist_auto_has_method CHECK ((mode = 'auto') = (payment_method IS NOT NULL)),
    CONSTRAINT waitlist_max_price_not_negative CHECK (max_price >= 0),
    CONSTRAINT waitlist_status_known CHECK (
        status IN ('waiting', 'offered', 'promoted', 'declined', 'lapsed', 'left')
    ),
    CONSTRAINT waitlist_reason_of_lapsed CHECK ((status = 'lapsed') = (reason IS NOT NULL)),
    CONSTRAINT waitlist_passengers_of_waiting CHECK (status = 'waiting' OR passengers IS NULL)
) STRICT;

-- A user has one active entry for a flight; also from a flight to its line.
CREATE UNIQUE INDEX waitlist_active ON waitlist (flight_id, user_id)
    WHERE status IN ('waiting', 'offered');
-- The offers of which a booking tells what became of them.
CREATE INDEX waitlist_offered ON waitlist (id) WHERE status = 'offered';
-- A user's entries, for export and erasure.
CREATE INDEX waitlist_by_user ON waitlist (user_id, id);
-- The sweeper's look for lines to serve; few flights have one.
CREATE INDEX flights_with_line ON flights (id) WHERE waiting > 0;
