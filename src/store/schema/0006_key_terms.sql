-- What a key may ask for and how fast; NULL: all routes, no limit.
ALTER TABLE client_keys ADD COLUMN routes TEXT;    -- JSON, a list of names
ALTER TABLE client_keys ADD COLUMN rpm    INTEGER; -- requests per minute
ALTER TABLE client_keys ADD COLUMN tpm    INTEGER; -- tokens per minute

-- Who changed what, written in the transaction of the change.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    who     TEXT    NOT NULL, -- id of an admin key, `cli`, or `loopback` where there are no keys
    what    TEXT    NOT NULL, -- for example key_created
    subject TEXT    NOT NULL, -- for example a key's id
    detail  TEXT              -- JSON of what holds since; never a secret
);
