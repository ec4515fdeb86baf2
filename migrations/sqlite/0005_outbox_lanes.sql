-- Messages that a booking waits for go out before those that only tell of it; see the relay.
ALTER TABLE outbox ADD COLUMN lane TEXT NOT NULL DEFAULT 'requests'
    CONSTRAINT outbox_lane_known CHECK (lane IN ('requests', 'facts'));
