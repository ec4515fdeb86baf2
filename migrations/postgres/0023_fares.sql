-- Fare rules: what a cancellation costs. Versions are only added; a booking keeps that of its `created_at`.
CREATE TABLE fare_rules (
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    -- A JSON array; the first row that matches decides.
    rows TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (name, version),
    CONSTRAINT fare_rules_version_positive CHECK (version > 0)
);
-- NULL: the rules `free`.
ALTER TABLE flights ADD COLUMN fare_rules TEXT COLLATE "C";
ALTER TABLE bookings
    ADD COLUMN fare_rules TEXT COLLATE "C",
    -- The departure that it was sold with; NULL for bookings of earlier releases.
    ADD COLUMN sold_departure TIMESTAMP,
    -- What stays with the airline of cancelled seats.
    ADD COLUMN fee NUMERIC NOT NULL DEFAULT 0,
    ADD CONSTRAINT bookings_fee_in_range CHECK (fee >= 0 AND fee <= 9999999999) NOT VALID;
-- Departures that were moved, and by the move of which version.
CREATE TABLE flight_moves (
    flight_id BIGINT NOT NULL REFERENCES flights (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    was TIMESTAMP NOT NULL,
    departs_at TIMESTAMP NOT NULL,
    moved_at TIMESTAMP NOT NULL,
    PRIMARY KEY (flight_id, version)
);
