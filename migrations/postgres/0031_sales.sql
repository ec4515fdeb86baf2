-- Seats that each flight sold and took back, by day. No foreign keys: they would lock the rows of flights on sale.
CREATE TABLE sales (
    flight_id BIGINT NOT NULL,
    -- In the time zone of schedules.
    day DATE NOT NULL,
    sold BIGINT NOT NULL,
    returned BIGINT NOT NULL,
    PRIMARY KEY (flight_id, day),
    CONSTRAINT sales_sold_not_negative CHECK (sold >= 0),
    CONSTRAINT sales_returned_not_negative CHECK (returned >= 0)
);

-- Which movements of a flight's seats are counted; a version of the flight names one.
CREATE TABLE sales_counted (
    flight_id BIGINT PRIMARY KEY,
    -- Each movement up to this version is counted.
    up_to BIGINT NOT NULL DEFAULT 0,
    -- Later versions that are counted: a JSON array, ascending.
    versions TEXT NOT NULL DEFAULT '[]'
);
