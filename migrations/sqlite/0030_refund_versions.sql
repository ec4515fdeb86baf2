-- Tells the events of a refund apart: grows by one with each change of its status or amount.
ALTER TABLE refunds ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
