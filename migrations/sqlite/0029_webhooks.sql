-- Where partners get events, and the deliveries to them.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The user of the token that made it; 0 without tokens.
    owner INTEGER NOT NULL,
    url TEXT NOT NULL,
    -- The types of the events that go there, as a JSON array.
    types TEXT NOT NULL,
    -- whsec_ and base64. As it is, and no hash of it: it signs what is sent.
    secret TEXT NOT NULL,
    -- The secret before the last rotation; it signs beside the new one until then.
    old_secret TEXT,
    old_secret_until INTEGER,
    -- 'deleted' stays until its deliveries are deleted, in bounded steps.
    status TEXT NOT NULL,
    -- When the first delivery failed since the last that succeeded.
    failing_since INTEGER,
    created_at INTEGER NOT NULL,
    CONSTRAINT webhooks_status_known CHECK (status IN ('active', 'disabled', 'deleted')),
    CONSTRAINT webhooks_old_secret_ends CHECK ((old_secret IS NULL) = (old_secret_until IS NULL))
) STRICT;

-- An owner's webhooks.
CREATE INDEX webhooks_by_owner ON webhooks (owner, id);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL,
    -- The event's own id: an event that comes again is delivered once.
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    -- The flight of the event: deliveries of one flight to one webhook go out one after the other, by id. NULL: it
    -- waits for none, as a ping and what is delivered again.
    flight_id INTEGER,
    -- The body that is sent; without personal data.
    payload TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- Status of the last answer; NULL: there was none.
    response_status INTEGER,
    -- When it is sent next; NULL: it has ended, or waits for an earlier one of its flight.
    next_attempt_at INTEGER,
    at INTEGER NOT NULL,
    CONSTRAINT deliveries_once UNIQUE (webhook_id, event_id),
    CONSTRAINT deliveries_status_known CHECK (status IN ('pending', 'delivered', 'failed')),
    CONSTRAINT deliveries_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT deliveries_next_of_pending CHECK (status = 'pending' OR next_attempt_at IS NULL)
) STRICT;

-- A webhook's log.
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
-- What is sent next.
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, id)
    WHERE next_attempt_at IS NOT NULL;
-- The first of a flight's deliveries that waits.
CREATE INDEX deliveries_in_line ON deliveries (webhook_id, flight_id, id) WHERE status = 'pending';
-- What is deleted with age.
CREATE INDEX deliveries_ended ON deliveries (at) WHERE status <> 'pending';
