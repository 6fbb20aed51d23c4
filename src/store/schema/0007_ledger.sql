-- What each call came to, beside its decision. Ids sort by time, so a window of time is a range of them.
ALTER TABLE decisions ADD COLUMN route         TEXT;    -- as asked for; for a model by name its id
ALTER TABLE decisions ADD COLUMN user          TEXT;
ALTER TABLE decisions ADD COLUMN tags          TEXT;    -- JSON object; NULL: none
ALTER TABLE decisions ADD COLUMN ending        TEXT;    -- how the call ended
ALTER TABLE decisions ADD COLUMN input_tokens  INTEGER;
ALTER TABLE decisions ADD COLUMN output_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN cached_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN cache_write_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN cost_usd      REAL;    -- NULL: unknown
ALTER TABLE decisions ADD COLUMN basis         TEXT;    -- who counted: provider, table, estimate, cache
ALTER TABLE decisions ADD COLUMN settled_usd   REAL;    -- what budgets were charged
ALTER TABLE decisions ADD COLUMN reserved_usd  REAL;    -- what they had set aside
ALTER TABLE decisions ADD COLUMN prices        TEXT;    -- the price table that it was billed by

UPDATE decisions SET
    route = (SELECT json_extract(body, '$.body.route') FROM events e WHERE e.seq = decisions.seq),
    user  = (SELECT json_extract(body, '$.body.user') FROM events e WHERE e.seq = decisions.seq),
    tags  = (SELECT nullif(json_extract(body, '$.body.tags'), '{}') FROM events e WHERE e.seq = decisions.seq);
UPDATE decisions SET (ending, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd) = (
    SELECT json_extract(body, '$.body.end'), json_extract(body, '$.body.usage.input_tokens'),
           json_extract(body, '$.body.usage.output_tokens'), json_extract(body, '$.body.usage.cached_tokens'),
           json_extract(body, '$.body.usage.reasoning_tokens'), json_extract(body, '$.body.cost_usd')
    FROM events e WHERE e.seq = decisions.completed_seq)
WHERE completed_seq IS NOT NULL;

-- Price tables that calls were billed by.
CREATE TABLE price_tables (
    version TEXT    NOT NULL PRIMARY KEY,
    at_ms   INTEGER NOT NULL,             -- since when
    prices  TEXT    NOT NULL              -- JSON: by model, USD per million tokens
) WITHOUT ROWID;
