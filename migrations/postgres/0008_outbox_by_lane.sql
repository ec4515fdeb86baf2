-- The relay's look for a lane's rows, in their order. Without it each look for requests would read past all
-- facts that wait while their topic takes none.
CREATE INDEX outbox_by_lane ON outbox (lane, id);
