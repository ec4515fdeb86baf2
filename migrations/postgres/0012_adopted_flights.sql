-- A flight without a time of creation was adopted with its departure as one: it counted as history, and
-- nothing ended its sale. When it was created is not known; it was before the flight departs, so that
-- the flight closes as any other. No flight of this service has its departure, to the microsecond, as
-- its time of creation.
WITH dated AS (
    UPDATE flights SET created_at = 'epoch',
           updated_at = CASE WHEN updated_at = timestamp THEN 'epoch' ELSE updated_at END
     WHERE created_at = timestamp AND timestamp > 'epoch'
    RETURNING 1)
-- Cached answers have the flights as they were.
INSERT INTO outdated_answers (body) SELECT '"all"' WHERE EXISTS (SELECT 1 FROM dated);
