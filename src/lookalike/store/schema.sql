-- The truth of an embedded collection. Vectors lie in one table per embedding, `vectors_N`.

CREATE TABLE about (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE embeddings (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    coming      INTEGER NOT NULL,  -- 1 while a reindex builds it beside those in use
    dim         INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    learned     BLOB,              -- what its extractor learned from the collection's pictures
    cache       TEXT,              -- the token of the index file that is current
    UNIQUE (name, coming)
) STRICT;

CREATE TABLE pictures (
    row    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, so an index may rely on it
    id     BLOB NOT NULL UNIQUE,               -- sha256 of the content
    format TEXT NOT NULL,
    width  INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    added  REAL NOT NULL
) STRICT;

-- Every path ever seen: where a picture lies (row), or why there is none (reason).
CREATE TABLE places (
    place       INTEGER PRIMARY KEY,
    path        TEXT NOT NULL UNIQUE,
    row         INTEGER REFERENCES pictures (row),
    reason      TEXT,
    retry       INTEGER NOT NULL DEFAULT 0,
    recognised  INTEGER NOT NULL DEFAULT 1,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    label       TEXT,
    metadata    TEXT NOT NULL DEFAULT '{}',
    checked     REAL NOT NULL
) STRICT;

CREATE INDEX places_by_row ON places (row);
CREATE INDEX places_by_label ON places (label);
CREATE INDEX places_refused ON places (reason) WHERE reason IS NOT NULL;

CREATE TABLE removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    row    INTEGER NOT NULL
) STRICT;

-- Local features of pictures, packed, all by the extractor whose fingerprint `about` has as `local`.
CREATE TABLE local_features (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,  -- ascending in time, for who follows them
    row      INTEGER NOT NULL UNIQUE,
    features BLOB NOT NULL
) STRICT;

-- What people have said of pairs, by content, so that it holds for pictures that come back.
CREATE TABLE judgements (
    a      BLOB NOT NULL,     -- sha256, the lower one of the two
    b      BLOB NOT NULL,
    same   INTEGER NOT NULL,  -- whether they are to count as the same picture
    judged REAL NOT NULL,
    judge  TEXT NOT NULL,     -- who said so
    PRIMARY KEY (a, b)
) STRICT, WITHOUT ROWID;
