-- A booking is a segment of an order. A booking from before is an order of its own; the defaults write no row
-- again, and the checks are validated after this transaction, beside readers and writers.
ALTER TABLE bookings
    -- The order's first booking; NULL: this one.
    ADD COLUMN order_id BIGINT,
    -- Its place in the order, and how many bookings the order has.
    ADD COLUMN segment SMALLINT NOT NULL DEFAULT 1,
    ADD COLUMN segments SMALLINT NOT NULL DEFAULT 1,
    -- The part of the price that every refund returns.
    ADD COLUMN booking_taxes NUMERIC NOT NULL DEFAULT 0,
    -- Places of passengers whose seats were given back: a JSON array; NULL: none.
    ADD COLUMN cancelled_passengers TEXT,
    -- Grows by one with each change.
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1,
    ADD CONSTRAINT bookings_segment_within_order
        CHECK (segment BETWEEN 1 AND segments AND segments <= 8) NOT VALID,
    ADD CONSTRAINT bookings_order_of_segment CHECK ((order_id IS NULL) = (segment = 1)) NOT VALID,
    ADD CONSTRAINT bookings_taxes_within_price
        CHECK (booking_taxes BETWEEN 0 AND booking_price) NOT VALID;
ALTER TABLE payments
    -- Grows by one with each change of the status.
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
-- From a payment to the bookings of its order.
DROP INDEX bookings_by_payment;
CREATE UNIQUE INDEX bookings_by_payment ON bookings (payment_reference_id, segment);
