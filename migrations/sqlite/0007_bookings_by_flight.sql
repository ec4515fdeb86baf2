-- The bookings of a flight. Not about their status: a booking that ends would write its page of the
-- index again, and of the pages of so many flights hardly two bookings of a batch share one.
CREATE INDEX bookings_by_flight ON bookings (flight_id);
DROP INDEX bookings_live;
