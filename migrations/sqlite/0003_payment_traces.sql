-- In which trace a payment was first asked for (W3C traceparent), so that repeats of the request join
-- it; NULL where it was not traced.
ALTER TABLE payments ADD COLUMN traceparent TEXT;
