-- Part of the price that a refund always returns. Flights from before have none. The default writes no row
-- again; the check is validated after this transaction, beside readers and writers.
ALTER TABLE flights
    ADD COLUMN taxes NUMERIC NOT NULL DEFAULT 0,
    ADD CONSTRAINT flights_taxes_within_price CHECK (taxes BETWEEN 0 AND price) NOT VALID;
