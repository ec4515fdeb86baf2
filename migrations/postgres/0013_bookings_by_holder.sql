-- The bookings of a flight, and of them a user's whose hold has not ended: the commit of a hold counts
-- the seats that are pending. Still no index is about the status, so that a booking that ends touches none.
DROP INDEX bookings_by_flight;
CREATE INDEX bookings_by_flight ON bookings (flight_id, user_id, hold_expires_at);
