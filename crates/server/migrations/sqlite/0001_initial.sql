-- Times are microseconds since 1970 in UTC; lists inside a column are JSON.

-- One row about the database as a whole.
CREATE TABLE meta (
    only_row              INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    -- How many migrations were applied.
    schema_version        INTEGER NOT NULL,
    -- The oldest program, by the number of its last migration, that may still use this schema.
    oldest_schema_version INTEGER NOT NULL,
    -- Rises where the first migration itself is changed, which ends with the first release.
    layout                INTEGER NOT NULL,
    -- Which life of the data this is: one more after every restore.
    epoch                 INTEGER NOT NULL CHECK (epoch > 0),
    -- Which rule the fold keys of companies follow; a newer program renews them.
    fold_key_version      INTEGER NOT NULL
) STRICT;

INSERT INTO meta (only_row, schema_version, oldest_schema_version, layout, epoch, fold_key_version)
VALUES (1, 1, 1, 9, 1, 1);

CREATE TABLE companies (
    id                    TEXT    NOT NULL PRIMARY KEY,
    revision              INTEGER NOT NULL CHECK (revision > 0),
    changed_time          INTEGER NOT NULL,
    name                  TEXT    NOT NULL,
    fold_key              TEXT    NOT NULL,
    country               TEXT    NOT NULL,
    timezone              TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    -- The system that the company comes from, and the mode: `moego mirror`.
    source                TEXT,
    created_by            TEXT    NOT NULL,
    created_time          INTEGER NOT NULL,
    last_updated_by       TEXT    NOT NULL,
    last_updated_time     INTEGER NOT NULL,
    last_updated_revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX companies_by_name ON companies (name, id) WHERE state = 'active';
CREATE INDEX companies_all_by_name ON companies (name, id);
CREATE INDEX companies_by_fold_key ON companies (fold_key, id);

CREATE TABLE businesses (
    company_id            TEXT    NOT NULL REFERENCES companies (id),
    id                    TEXT    NOT NULL,
    name                  TEXT    NOT NULL,
    contact               TEXT    NOT NULL,
    address               TEXT,
    state                 TEXT    NOT NULL,
    created_by            TEXT    NOT NULL,
    created_time          INTEGER NOT NULL,
    last_updated_by       TEXT    NOT NULL,
    last_updated_time     INTEGER NOT NULL,
    last_updated_revision INTEGER NOT NULL,
    PRIMARY KEY (company_id, id)
) STRICT;

CREATE UNIQUE INDEX businesses_by_id ON businesses (id);
CREATE INDEX businesses_by_name ON businesses (name, id) WHERE state = 'active';

-- While the rows of one change are written, a negative rank parks an entry: its rank and its
-- being the default are free for others until it gets its new ones. That active names differ is what a
-- plan checks, and a plan is written only over what it saw.
CREATE TABLE entries (
    company_id            TEXT    NOT NULL REFERENCES companies (id),
    catalog               TEXT    NOT NULL,
    id                    TEXT    NOT NULL,
    rank                  INTEGER NOT NULL,
    name                  TEXT    NOT NULL,
    description           TEXT    NOT NULL,
    color                 TEXT,
    is_default            INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    state                 TEXT    NOT NULL,
    created_by            TEXT    NOT NULL,
    created_time          INTEGER NOT NULL,
    last_updated_by       TEXT    NOT NULL,
    last_updated_time     INTEGER NOT NULL,
    last_updated_revision INTEGER NOT NULL,
    PRIMARY KEY (company_id, catalog, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX entries_by_rank ON entries (company_id, catalog, rank);
CREATE UNIQUE INDEX entries_default ON entries (company_id, catalog)
    WHERE is_default = 1 AND state = 'active' AND rank >= 0;

-- The ids of entries that were deleted: they are not used again, unless the entry itself comes back.
CREATE TABLE deleted_entries (
    company_id TEXT NOT NULL REFERENCES companies (id),
    catalog    TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (company_id, catalog, id)
) STRICT, WITHOUT ROWID;

-- The logs of all streams: of companies, of keys. Of a stream that has a table, the row there is as its log says.
CREATE TABLE changes (
    stream_kind    TEXT    NOT NULL,
    stream_id      TEXT    NOT NULL,
    revision       INTEGER NOT NULL CHECK (revision > 0),
    -- 0 made the revision; 1, 2 … are requests that found nothing to change at it.
    part           INTEGER NOT NULL CHECK (part >= 0),
    time           INTEGER NOT NULL,
    actor_key_id   TEXT   ,
    -- The name that the key had then.
    actor_key_name TEXT   ,
    actor_staff_id TEXT    NOT NULL,
    -- Where the actor's request came from: an IP address.
    address        TEXT   ,
    -- Within what the key uses a request id once: the stream's id, or empty where that is the kind.
    request_scope  TEXT   ,
    request_id     TEXT   ,
    request_digest BLOB    CHECK (length(request_digest) = 32),
    subjects       TEXT    NOT NULL,
    body           TEXT    NOT NULL,
    PRIMARY KEY (stream_kind, stream_id, revision, part),
    CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CHECK ((request_id IS NULL) = (request_scope IS NULL)),
    CHECK (request_id IS NULL OR actor_key_id IS NOT NULL),
    CHECK (actor_key_name IS NULL OR actor_key_id IS NOT NULL),
    CHECK (part = 0 OR request_id IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX changes_by_request ON changes (stream_kind, request_scope, actor_key_id, request_id)
    WHERE request_id IS NOT NULL;
-- Keys' changes are listed together; writes of companies pay nothing for it.
CREATE INDEX changes_of_keys_by_time ON changes (time, stream_id, revision)
    WHERE stream_kind = 'key' AND part = 0;

-- States of streams, from which their logs lead to old ones in a few lines. Nothing is lost with them: the log alone counts.
CREATE TABLE checkpoints (
    stream_kind    TEXT    NOT NULL,
    stream_id      TEXT    NOT NULL,
    revision       INTEGER NOT NULL CHECK (revision > 0),
    -- When the revision was made.
    time           INTEGER NOT NULL,
    body           BLOB    NOT NULL,
    PRIMARY KEY (stream_kind, stream_id, revision)
) STRICT;

CREATE TABLE keys (
    id                TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret, which itself is kept nowhere.
    secret            BLOB    NOT NULL CHECK (length(secret) = 32),
    -- The secret from before the last rotation, and until when it works.
    previous_secret   BLOB    CHECK (length(previous_secret) = 32),
    previous_expires_time INTEGER,
    name              TEXT    NOT NULL,
    scopes            TEXT    NOT NULL,
    -- NULL: every company.
    companies         TEXT,
    addresses         TEXT    NOT NULL,
    expires_time      INTEGER,
    staff_id          TEXT,
    revoked_time      INTEGER,
    -- When the last link for signing in was made.
    link_time         INTEGER,
    -- The key that acted when it was made; NULL: none did. It may be gone from a copy that is under way.
    created_by_key_id TEXT,
    created_by        TEXT    NOT NULL,
    created_time      INTEGER NOT NULL,
    last_updated_by   TEXT    NOT NULL,
    last_updated_time INTEGER NOT NULL,
    revision          INTEGER NOT NULL CHECK (revision > 0),
    -- Counts the writes of all keys, so that those since one are found.
    sequence          INTEGER NOT NULL CHECK (sequence > 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX keys_by_secret ON keys (secret);
CREATE UNIQUE INDEX keys_by_previous_secret ON keys (previous_secret);
CREATE UNIQUE INDEX keys_by_sequence ON keys (sequence);
CREATE INDEX keys_by_creator ON keys (created_by_key_id, id);

-- Apart from the keys, because it is written often and is part of no log.
CREATE TABLE key_uses (
    key_id         TEXT    NOT NULL PRIMARY KEY REFERENCES keys (id),
    last_used_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How the last comparison of a company with its source ended. Part of no log, as nothing of the company depends on it.
CREATE TABLE source_checks (
    company_id   TEXT    NOT NULL PRIMARY KEY REFERENCES companies (id),
    checked_time INTEGER NOT NULL,
    changed      INTEGER NOT NULL CHECK (changed IN (0, 1)),
    -- The things that were left as they are, and why, for people.
    problems     TEXT    NOT NULL,
    -- The lists that lost too much to be believed once.
    held_back    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- People who are signed in to the console. Part of no log: a session says who acts, and what is done is in the logs.
CREATE TABLE console_sessions (
    -- SHA-256 of the token, which itself is kept nowhere.
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    key_id       TEXT NOT NULL REFERENCES keys (id),
    -- The secret of the key that was shown; NULL: a link was used.
    secret       BLOB    CHECK (length(secret) = 32),
    created_time INTEGER NOT NULL,
    seen_time    INTEGER NOT NULL,
    expires_time INTEGER NOT NULL,
    -- The browser in a few words, such as "Chrome on Android"; empty where it is not known.
    browser      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX console_sessions_by_key ON console_sessions (key_id, seen_time);

-- Links that sign in once.
CREATE TABLE console_links (
    -- SHA-256 of the token, which itself is kept nowhere.
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    key_id       TEXT NOT NULL REFERENCES keys (id),
    expires_time INTEGER NOT NULL,
    -- NULL: it was not used.
    used_time    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX console_links_by_key ON console_links (key_id, expires_time);
