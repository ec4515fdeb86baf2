-- How many decimals the amounts of this database have; one row, written at the start. With three,
-- amounts are thousandths, else hundredths.
CREATE TABLE money_unit (
    id INTEGER PRIMARY KEY DEFAULT 1 CONSTRAINT money_unit_is_one_row CHECK (id = 1),
    decimals INTEGER NOT NULL CONSTRAINT money_unit_decimals_known CHECK (decimals BETWEEN 0 AND 3)
) STRICT;
