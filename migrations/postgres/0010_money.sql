-- Amounts have as many decimals as their currency. NUMERIC without a precision holds them all, and the
-- change writes no row again. A check on the column would be read again with it, under the lock: each
-- is dropped, those of an adopted service too. The new ones are validated after this transaction, beside
-- readers and writers.
ALTER TABLE flights
    DROP CONSTRAINT IF EXISTS flights_price_positive,
    DROP CONSTRAINT IF EXISTS flights_price_check,
    ALTER COLUMN price TYPE NUMERIC,
    ADD CONSTRAINT flights_price_in_range
        CHECK (price > 0 AND price <= 9999999999) NOT VALID;
ALTER TABLE bookings
    DROP CONSTRAINT IF EXISTS bookings_price_positive,
    DROP CONSTRAINT IF EXISTS bookings_booking_price_check,
    ALTER COLUMN booking_price TYPE NUMERIC,
    ADD CONSTRAINT bookings_price_in_range
        CHECK (booking_price > 0 AND booking_price <= 9999999999) NOT VALID;
ALTER TABLE payments
    DROP CONSTRAINT IF EXISTS payments_amount_positive,
    ALTER COLUMN amount TYPE NUMERIC,
    ADD CONSTRAINT payments_amount_in_range
        CHECK (amount > 0 AND amount <= 9999999999) NOT VALID;
ALTER TABLE gateway_ledger
    ALTER COLUMN amount TYPE NUMERIC,
    ADD CONSTRAINT gateway_ledger_amount_in_range
        CHECK (amount > 0 AND amount <= 9999999999) NOT VALID;

-- How many decimals the amounts of this database have; one row, written at the start. With three,
-- minor() and major() count thousandths.
CREATE TABLE money_unit (
    id INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT money_unit_is_one_row CHECK (id = 1),
    decimals INTEGER NOT NULL CONSTRAINT money_unit_decimals_known CHECK (decimals BETWEEN 0 AND 3)
);
