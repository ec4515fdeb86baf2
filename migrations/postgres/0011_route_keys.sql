-- How far the keys of routes follow the present rule; one row. Rows whose key is not plain ASCII are
-- written again at the start, a few at a time.
CREATE TABLE route_keys (
    id INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT route_keys_is_one_row CHECK (id = 1),
    -- The rule's number.
    rule INTEGER NOT NULL,
    -- The last flight whose key was looked at.
    done_to BIGINT NOT NULL
);
