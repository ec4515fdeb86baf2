-- Corrections of passengers' contact data: what they were before, a row for each correction.
CREATE TABLE passenger_changes (
    booking_id INTEGER NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    -- The booking's version after the correction.
    version INTEGER NOT NULL,
    -- The passenger's place in the booking, from 0.
    place INTEGER NOT NULL CONSTRAINT passenger_changes_place_not_negative CHECK (place >= 0),
    -- A JSON object: the corrected fields with their earlier values. Personal data: deleted with the passengers.
    was TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (booking_id, version)
) WITHOUT ROWID;

-- When flights were cancelled. Without a row: cancelled by an earlier release, or by hand.
CREATE TABLE flight_cancellations (
    flight_id INTEGER PRIMARY KEY REFERENCES flights (id) ON DELETE CASCADE,
    cancelled_at INTEGER NOT NULL
);

-- From a booking to its refunds.
CREATE INDEX refunds_by_booking ON refunds (booking_id);
