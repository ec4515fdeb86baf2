-- The topic airline-events where no Kafka keeps it: a row for each batch that the relay publishes.
CREATE TABLE event_log (
    -- The offset of the first message. Offsets have no gaps: the newest row is never deleted.
    first BIGINT PRIMARY KEY CONSTRAINT event_log_first_not_negative CHECK (first >= 0),
    messages INTEGER NOT NULL CONSTRAINT event_log_messages_positive CHECK (messages > 0),
    written_at TIMESTAMP NOT NULL,
    -- JSON: of each message its key, type, id and time, and the booking that it is about. Readers take the rest from rows.
    body TEXT NOT NULL
);
