-- The comparison that holds now for each two decisions (the lower id first), name and source.
CREATE TABLE comparisons (
    first  BLOB    NOT NULL,
    second BLOB    NOT NULL,
    name   TEXT    NOT NULL,
    source TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (first, second, name, source)
) WITHOUT ROWID;

-- The report that holds now for each session of a key ('' without keys), name and source: its steps are the rows from `seq` on.
CREATE TABLE episodes (
    scope   TEXT    NOT NULL,
    session TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    steps   INTEGER NOT NULL,
    PRIMARY KEY (scope, session, name, source)
) WITHOUT ROWID;
