-- Policy bundles that were promoted. The learner's fold needs their states, so they are never deleted.
CREATE TABLE policies (
    version  TEXT    NOT NULL PRIMARY KEY,
    cut      INTEGER NOT NULL,                  -- all events up to this one are in the state
    manifest TEXT    NOT NULL,                  -- JSON
    state    BLOB    NOT NULL
) WITHOUT ROWID;

-- Which took over when; seq is that of the event.
CREATE TABLE promotions (
    seq     INTEGER PRIMARY KEY,
    version TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL
);
