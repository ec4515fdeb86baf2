-- What an Idempotency-Key made at routes other than bookings; kept for 24 hours.
CREATE TABLE request_keys (
    -- The route's template: a key names one request of one route.
    route TEXT NOT NULL,
    -- The user of the body, else of the token, else 0.
    owner BIGINT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request, hexadecimal.
    hash TEXT NOT NULL,
    -- The number of what the request made or changed.
    made BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (route, owner, key)
);

CREATE INDEX request_keys_by_age ON request_keys (created_at);
