-- The relay's look for a lane's rows. The lane stands behind the messages in a row, so without this
-- each look would read those of all rows.
CREATE INDEX outbox_by_lane ON outbox (lane);
