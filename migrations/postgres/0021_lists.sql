-- Lists of flights by departure, of one status or one city; those of a route and of all have an index. No
-- booking changes a flight's status, cities or departure, so none writes to these.
CREATE INDEX flights_by_status ON flights (flight_status, timestamp, id);
CREATE INDEX flights_by_source ON flights (split_part(route, '#', 1), timestamp, id);
CREATE INDEX flights_by_destination ON flights (split_part(route, '#', 2), timestamp, id);
