-- Seats that each flight sold and took back, by day.
CREATE TABLE sales (
    flight_id INTEGER NOT NULL,
    -- In the time zone of schedules.
    day TEXT NOT NULL,
    sold INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    PRIMARY KEY (flight_id, day),
    CONSTRAINT sales_sold_not_negative CHECK (sold >= 0),
    CONSTRAINT sales_returned_not_negative CHECK (returned >= 0)
) STRICT, WITHOUT ROWID;

-- Which movements of a flight's seats are counted; a version of the flight names one.
CREATE TABLE sales_counted (
    flight_id INTEGER PRIMARY KEY,
    -- Each movement up to this version is counted.
    up_to INTEGER NOT NULL DEFAULT 0,
    -- Later versions that are counted: a JSON array, ascending.
    versions TEXT NOT NULL DEFAULT '[]'
) STRICT;
