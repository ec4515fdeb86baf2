-- Each booking moves its flight's seats. An index whose condition reads them, as this one's did, made
-- each of those updates write to all of the table's indexes.
DROP INDEX flights_cancelled;

-- The sweeper's look for cancelled flights that may still have bookings: noted when they are cancelled,
-- whoever does it, and struck off by the sweeper when no seat is held or sold any more.
CREATE TABLE cancelled_flights (
    flight_id BIGINT PRIMARY KEY
);

INSERT INTO cancelled_flights (flight_id) SELECT id FROM flights WHERE flight_status = 'cancelled';

CREATE FUNCTION note_cancelled_flight() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cancelled_flights (flight_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- Not for updates that leave the status alone, as bookings do.
CREATE TRIGGER flights_note_cancelled AFTER UPDATE OF flight_status ON flights
    FOR EACH ROW WHEN (NEW.flight_status = 'cancelled') EXECUTE FUNCTION note_cancelled_flight();
