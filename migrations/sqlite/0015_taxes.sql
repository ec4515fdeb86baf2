-- Part of the price that a refund always returns. Flights from before have none.
ALTER TABLE flights
    ADD COLUMN taxes INTEGER NOT NULL DEFAULT 0
        CONSTRAINT flights_taxes_within_price CHECK (taxes BETWEEN 0 AND price);
