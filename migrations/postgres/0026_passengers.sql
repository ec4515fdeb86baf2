-- Corrections of passengers' contact data: what they were before, a row for each correction.
CREATE TABLE passenger_changes (
    booking_id BIGINT NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    -- The booking's version after the correction.
    version BIGINT NOT NULL,
    -- The passenger's place in the booking, from 0.
    place INTEGER NOT NULL,
    -- A JSON object: the corrected fields with their earlier values. Personal data: deleted with the passengers.
    was JSONB NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    PRIMARY KEY (booking_id, version),
    CONSTRAINT passenger_changes_place_not_negative CHECK (place >= 0)
);

-- When flights were cancelled. Without a row: cancelled by an earlier release, or by hand.
CREATE TABLE flight_cancellations (
    flight_id BIGINT PRIMARY KEY REFERENCES flights (id) ON DELETE CASCADE,
    cancelled_at TIMESTAMP NOT NULL
);

-- From a booking to its refunds.
CREATE INDEX refunds_by_booking ON refunds (booking_id);
