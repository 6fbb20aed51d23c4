-- The log. Everything else in this file can be computed from it, and is written in the same transaction.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- from 1, without gaps; the log's order is the only order
    at_ms    INTEGER NOT NULL,                  -- Unix milliseconds when the row was written
    kind     TEXT    NOT NULL,                  -- decided, completed, feedback, admin
    decision BLOB,                              -- 16 bytes: the decision that the row is about
    body     TEXT    NOT NULL,                  -- JSON of the event, a decision's feature vector left out
    schema   TEXT,                              -- name of the feature vector's schema
    features BLOB                               -- the feature vector, little-endian f32
);
CREATE INDEX events_decision ON events (decision, seq) WHERE decision IS NOT NULL;

-- One row for each decision: what feedback needs to find and credit it.
CREATE TABLE decisions (
    id            BLOB    NOT NULL PRIMARY KEY,
    seq           INTEGER NOT NULL,
    key_id        TEXT,
    session       TEXT,
    arm           TEXT    NOT NULL,             -- the drawn arm
    has_context   INTEGER NOT NULL,
    decision_only INTEGER NOT NULL,
    completed_seq INTEGER,
    completion_id TEXT,
    served        TEXT                          -- the arm that answered
) WITHOUT ROWID;
CREATE INDEX decisions_completion ON decisions (completion_id, completed_seq) WHERE completion_id IS NOT NULL;
CREATE INDEX decisions_session ON decisions (session, seq) WHERE session IS NOT NULL;

-- The report that holds now for each decision, name and source; rated and unrated reports do not replace each other.
CREATE TABLE reports (
    decision BLOB    NOT NULL,
    name     TEXT    NOT NULL,
    source   TEXT    NOT NULL,
    rated    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (decision, name, source, rated)
) WITHOUT ROWID;

-- Idempotency keys, one name space for each client key ('' without keys).
CREATE TABLE idempotency (
    scope TEXT    NOT NULL,
    key   TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

-- How many rated reports each arm has had: the arm's clock.
CREATE TABLE arm_ticks (
    arm TEXT    NOT NULL PRIMARY KEY,
    n   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE client_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the key; the key itself is nowhere
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,                                  -- comma-separated
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    seq    INTEGER NOT NULL,                    -- all events up to this one are in the state
    state  BLOB    NOT NULL,
    sha256 BLOB    NOT NULL,
    at_ms  INTEGER NOT NULL
);

-- Rows that the learner could not use, and why.
CREATE TABLE set_aside (
    seq   INTEGER PRIMARY KEY,
    why   TEXT    NOT NULL,
    at_ms INTEGER NOT NULL
);
