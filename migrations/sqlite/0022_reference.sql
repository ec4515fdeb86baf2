-- The key of booking references: drawn once by the first process that serves, and never changed, since every reference
-- ever shown would change with it.
CREATE TABLE reference_key (
    id INTEGER PRIMARY KEY CONSTRAINT reference_key_is_one_row CHECK (id = 1),
    key BLOB NOT NULL CONSTRAINT reference_key_has_32_bytes CHECK (length(key) = 32)
) STRICT;
