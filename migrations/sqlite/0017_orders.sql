-- A booking is a segment of an order. A booking from before is an order of its own.

-- The order's first booking; NULL: this one.
ALTER TABLE bookings ADD COLUMN order_id INTEGER;
-- Its place in the order, and how many bookings the order has.
ALTER TABLE bookings ADD COLUMN segments INTEGER NOT NULL DEFAULT 1
    CONSTRAINT bookings_segments_within_most CHECK (segments BETWEEN 1 AND 8);
ALTER TABLE bookings ADD COLUMN segment INTEGER NOT NULL DEFAULT 1
    CONSTRAINT bookings_segment_within_order
        CHECK (segment BETWEEN 1 AND segments AND (order_id IS NULL) = (segment = 1));
-- The part of the price that every refund returns.
ALTER TABLE bookings ADD COLUMN booking_taxes INTEGER NOT NULL DEFAULT 0
    CONSTRAINT bookings_taxes_within_price CHECK (booking_taxes BETWEEN 0 AND booking_price);
-- Places of passengers whose seats were given back: a JSON array; NULL: none.
ALTER TABLE bookings ADD COLUMN cancelled_passengers TEXT;
-- Grows by one with each change.
ALTER TABLE bookings ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- Grows by one with each change of the status.
ALTER TABLE payments ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- From a payment to the bookings of its order.
DROP INDEX bookings_by_payment;
CREATE UNIQUE INDEX bookings_by_payment ON bookings (payment_reference_id, segment);
