-- What SQLite has after its eighth step (see the files beside this folder for what each column is), and three tables more.
-- Texts that are sorted by have the collation "C": the same order on every server.
CREATE TABLE events (
    seq      BIGINT PRIMARY KEY,
    at_ms    BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    decision BYTEA,
    body     TEXT   NOT NULL,
    schema   TEXT,
    features BYTEA
);
CREATE INDEX events_admin ON events (seq) WHERE kind = 'admin';
CREATE INDEX events_feedback ON events (decision, seq) WHERE kind = 'feedback';

-- The last event. Every transaction that writes locks this one row first: numbers are handed out in the order of the commits.
CREATE TABLE log_end (seq BIGINT NOT NULL);
INSERT INTO log_end VALUES (0);

-- Which replica leads: it alone saves checkpoints and moves experiments. Who takes over raises the epoch, and a write under an
-- earlier one is refused.
CREATE TABLE leadership (
    epoch  BIGINT      NOT NULL,
    holder TEXT        NOT NULL, -- process and a number of its own
    until  TIMESTAMPTZ NOT NULL  -- by the clock of this server
);
INSERT INTO leadership VALUES (0, '', '-infinity');

CREATE TABLE decisions (
    id                 BYTEA  PRIMARY KEY,
    seq                BIGINT NOT NULL,
    key_id             TEXT,
    session            TEXT,
    arm                TEXT   NOT NULL,
    has_context        BIGINT NOT NULL,
    decision_only      BIGINT NOT NULL,
    completed_seq      BIGINT,
    completion_id      TEXT,
    served             TEXT,
    route              TEXT,
    "user"             TEXT COLLATE "C",
    tags               TEXT,
    ending             TEXT,
    input_tokens       BIGINT,
    output_tokens      BIGINT,
    cached_tokens      BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens   BIGINT,
    cost_usd           DOUBLE PRECISION,
    basis              TEXT,
    settled_usd        DOUBLE PRECISION,
    reserved_usd       DOUBLE PRECISION,
    prices             TEXT
);
CREATE INDEX decisions_completion ON decisions (completion_id, completed_seq) WHERE completion_id IS NOT NULL;
CREATE INDEX decisions_session ON decisions (session, seq) WHERE session IS NOT NULL;

CREATE TABLE reports (
    decision BYTEA  NOT NULL,
    name     TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    rated    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    PRIMARY KEY (decision, name, source, rated)
);

CREATE TABLE idempotency (
    scope TEXT   NOT NULL,
    key   TEXT   NOT NULL,
    seq   BIGINT NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE TABLE arm_ticks (
    arm TEXT   PRIMARY KEY,
    n   BIGINT NOT NULL
);

CREATE TABLE comparisons (
    first  BYTEA  NOT NULL,
    second BYTEA  NOT NULL,
    name   TEXT   NOT NULL,
    source TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (first, second, name, source)
);

CREATE TABLE episodes (
    scope   TEXT   NOT NULL,
    session TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    source  TEXT   NOT NULL,
    seq     BIGINT NOT NULL,
    steps   BIGINT NOT NULL,
    PRIMARY KEY (scope, session, name, source)
);

CREATE TABLE client_keys (
    id         TEXT COLLATE "C" PRIMARY KEY,
    hash       BYTEA  NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name       TEXT   NOT NULL,
    scopes     TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT,
    budget     TEXT,
    routes     TEXT,
    rpm        BIGINT,
    tpm        BIGINT
);

CREATE TABLE audit (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms   BIGINT NOT NULL,
    who     TEXT   NOT NULL,
    what    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    detail  TEXT
);

CREATE TABLE checkpoints (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq    BIGINT NOT NULL,
    state  BYTEA  NOT NULL,
    sha256 BYTEA  NOT NULL,
    at_ms  BIGINT NOT NULL
);

CREATE TABLE set_aside (
    seq   BIGINT PRIMARY KEY,
    why   TEXT   NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE TABLE policies (
    version  TEXT COLLATE "C" PRIMARY KEY,
    cut      BIGINT NOT NULL,
    manifest TEXT   NOT NULL,
    state    BYTEA  NOT NULL
);

CREATE TABLE promotions (
    seq     BIGINT PRIMARY KEY,
    version TEXT   NOT NULL,
    at_ms   BIGINT NOT NULL
);

CREATE TABLE price_tables (
    version TEXT COLLATE "C" PRIMARY KEY,
    at_ms   BIGINT NOT NULL,
    prices  TEXT   NOT NULL
);
