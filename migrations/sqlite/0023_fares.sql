-- Fare rules: what a cancellation costs. Versions are only added; a booking keeps that of its `created_at`.
CREATE TABLE fare_rules (
    name TEXT NOT NULL,
    version INTEGER NOT NULL CONSTRAINT fare_rules_version_positive CHECK (version > 0),
    -- A JSON array; the first row that matches decides.
    rows TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
-- NULL: the rules `free`.
ALTER TABLE flights ADD COLUMN fare_rules TEXT;
ALTER TABLE bookings ADD COLUMN fare_rules TEXT;
-- The departure that it was sold with; NULL for bookings of earlier releases.
ALTER TABLE bookings ADD COLUMN sold_departure INTEGER;
-- What stays with the airline of cancelled seats.
ALTER TABLE bookings ADD COLUMN fee INTEGER NOT NULL DEFAULT 0
    CONSTRAINT bookings_fee_not_negative CHECK (fee >= 0);
-- Departures that were moved, and by the move of which version.
CREATE TABLE flight_moves (
    flight_id INTEGER NOT NULL REFERENCES flights (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    was INTEGER NOT NULL,
    departs_at INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (flight_id, version)
) WITHOUT ROWID;
