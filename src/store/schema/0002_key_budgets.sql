-- What may be spent with a key: JSON of its limits in USD; NULL: no limits.
ALTER TABLE client_keys ADD COLUMN budget TEXT;
