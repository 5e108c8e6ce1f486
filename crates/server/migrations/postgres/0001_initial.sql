-- Times are microseconds since 1970 in UTC; lists inside a column are JSON. Texts are compared by
-- code points, whatever the database's own collation.
--
-- Keys begin with the company where a table belongs to one, and nothing here needs a sequence, a
-- trigger or a function on the server. The table `meta` is made by the program, because whoever
-- applies this file holds the lock on its row.

CREATE TABLE companies (
    id                    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision              BIGINT  NOT NULL CHECK (revision > 0),
    changed_time          BIGINT  NOT NULL,
    name                  TEXT COLLATE "C" NOT NULL,
    fold_key              TEXT COLLATE "C" NOT NULL,
    country               TEXT COLLATE "C" NOT NULL,
    timezone              TEXT COLLATE "C" NOT NULL,
    state                 TEXT COLLATE "C" NOT NULL,
    -- The system that the company comes from, and the mode: `moego mirror`.
    source                TEXT COLLATE "C",
    created_by            TEXT COLLATE "C" NOT NULL,
    created_time          BIGINT  NOT NULL,
    last_updated_by       TEXT COLLATE "C" NOT NULL,
    last_updated_time     BIGINT  NOT NULL,
    last_updated_revision BIGINT  NOT NULL
);

CREATE INDEX companies_by_name ON companies (name, id) WHERE state = 'active';
CREATE INDEX companies_all_by_name ON companies (name, id);
CREATE INDEX companies_by_fold_key ON companies (fold_key, id);

CREATE TABLE businesses (
    company_id            TEXT COLLATE "C" NOT NULL REFERENCES companies (id),
    id                    TEXT COLLATE "C" NOT NULL,
    name                  TEXT COLLATE "C" NOT NULL,
    contact               TEXT COLLATE "C" NOT NULL,
    address               TEXT COLLATE "C",
    state                 TEXT COLLATE "C" NOT NULL,
    created_by            TEXT COLLATE "C" NOT NULL,
    created_time          BIGINT  NOT NULL,
    last_updated_by       TEXT COLLATE "C" NOT NULL,
    last_updated_time     BIGINT  NOT NULL,
    last_updated_revision BIGINT  NOT NULL,
    PRIMARY KEY (company_id, id)
);

CREATE UNIQUE INDEX businesses_by_id ON businesses (id);
CREATE INDEX businesses_by_name ON businesses (name, id) WHERE state = 'active';

-- While the rows of one change are written, a negative rank parks an entry: its rank and its
-- being the default are free for others until it gets its new ones. That active names differ is what a
-- plan checks, and a plan is written only over what it saw.
CREATE TABLE entries (
    company_id            TEXT COLLATE "C" NOT NULL REFERENCES companies (id),
    catalog               TEXT COLLATE "C" NOT NULL,
    id                    TEXT COLLATE "C" NOT NULL,
    rank                  BIGINT  NOT NULL,
    name                  TEXT COLLATE "C" NOT NULL,
    description           TEXT COLLATE "C" NOT NULL,
    color                 TEXT COLLATE "C",
    is_default            BOOLEAN NOT NULL,
    state                 TEXT COLLATE "C" NOT NULL,
    created_by            TEXT COLLATE "C" NOT NULL,
    created_time          BIGINT  NOT NULL,
    last_updated_by       TEXT COLLATE "C" NOT NULL,
    last_updated_time     BIGINT  NOT NULL,
    last_updated_revision BIGINT  NOT NULL,
    PRIMARY KEY (company_id, catalog, id)
);

CREATE UNIQUE INDEX entries_by_rank ON entries (company_id, catalog, rank);
CREATE UNIQUE INDEX entries_default ON entries (company_id, catalog)
    WHERE is_default AND state = 'active' AND rank >= 0;

-- The ids of entries that were deleted: they are not used again, unless the entry itself comes back.
CREATE TABLE deleted_entries (
    company_id TEXT COLLATE "C" NOT NULL REFERENCES companies (id),
    catalog    TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (company_id, catalog, id)
);

-- The logs of all streams: of companies, of keys. Of a stream that has a table, the row there is as its log says.
CREATE TABLE changes (
    stream_kind    TEXT COLLATE "C" NOT NULL,
    stream_id      TEXT COLLATE "C" NOT NULL,
    revision       BIGINT  NOT NULL CHECK (revision > 0),
    -- 0 made the revision; 1, 2 … are requests that found nothing to change at it.
    part           BIGINT  NOT NULL CHECK (part >= 0),
    time           BIGINT  NOT NULL,
    actor_key_id   TEXT COLLATE "C",
    -- The name that the key had then.
    actor_key_name TEXT COLLATE "C",
    actor_staff_id TEXT COLLATE "C" NOT NULL,
    -- Where the actor's request came from: an IP address.
    address        TEXT COLLATE "C",
    -- Within what the key uses a request id once: the stream's id, or empty where that is the kind.
    request_scope  TEXT COLLATE "C",
    request_id     TEXT COLLATE "C",
    request_digest BYTEA   CHECK (length(request_digest) = 32),
    subjects       TEXT COLLATE "C" NOT NULL,
    body           TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (stream_kind, stream_id, revision, part),
    CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CHECK ((request_id IS NULL) = (request_scope IS NULL)),
    CHECK (request_id IS NULL OR actor_key_id IS NOT NULL),
    CHECK (actor_key_name IS NULL OR actor_key_id IS NOT NULL),
    CHECK (part = 0 OR request_id IS NOT NULL)
);

CREATE UNIQUE INDEX changes_by_request ON changes (stream_kind, request_scope, actor_key_id, request_id)
    WHERE request_id IS NOT NULL;
-- Keys' changes are listed together; writes of companies pay nothing for it.
CREATE INDEX changes_of_keys_by_time ON changes (time, stream_id, revision)
    WHERE stream_kind = 'key' AND part = 0;

-- States of streams, from which their logs lead to old ones in a few lines. Nothing is lost with them: the log alone counts.
CREATE TABLE checkpoints (
    stream_kind    TEXT COLLATE "C" NOT NULL,
    stream_id      TEXT COLLATE "C" NOT NULL,
    revision       BIGINT  NOT NULL CHECK (revision > 0),
    -- When the revision was made.
    time           BIGINT  NOT NULL,
    body           BYTEA   NOT NULL,
    PRIMARY KEY (stream_kind, stream_id, revision)
);

CREATE TABLE keys (
    id                TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret, which itself is kept nowhere.
    secret            BYTEA   NOT NULL CHECK (length(secret) = 32),
    -- The secret from before the last rotation, and until when it works.
    previous_secret   BYTEA   CHECK (length(previous_secret) = 32),
    previous_expires_time BIGINT,
    name              TEXT COLLATE "C" NOT NULL,
    scopes            TEXT COLLATE "C" NOT NULL,
    -- NULL: every company.
    companies         TEXT COLLATE "C",
    addresses         TEXT COLLATE "C" NOT NULL,
    expires_time      BIGINT,
    staff_id          TEXT COLLATE "C",
    revoked_time      BIGINT,
    -- When the last link for signing in was made.
    link_time         BIGINT,
    -- The key that acted when it was made; NULL: none did. It may be gone from a copy that is under way.
    created_by_key_id TEXT COLLATE "C",
    created_by        TEXT COLLATE "C" NOT NULL,
    created_time      BIGINT  NOT NULL,
    last_updated_by   TEXT COLLATE "C" NOT NULL,
    last_updated_time BIGINT  NOT NULL,
    revision          BIGINT  NOT NULL CHECK (revision > 0),
    -- Counts the writes of all keys, so that those since one are found.
    sequence          BIGINT  NOT NULL CHECK (sequence > 0)
);

CREATE UNIQUE INDEX keys_by_secret ON keys (secret);
CREATE UNIQUE INDEX keys_by_previous_secret ON keys (previous_secret);
CREATE UNIQUE INDEX keys_by_sequence ON keys (sequence);
CREATE INDEX keys_by_creator ON keys (created_by_key_id, id);

-- Apart from the keys, because it is written often and is part of no log.
CREATE TABLE key_uses (
    key_id         TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES keys (id),
    last_used_time BIGINT  NOT NULL
);

-- How the last comparison of a company with its source ended. Part of no log, as nothing of the company depends on it.
CREATE TABLE source_checks (
    company_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES companies (id),
    checked_time BIGINT  NOT NULL,
    changed      BOOLEAN NOT NULL,
    -- The things that were left as they are, and why, for people.
    problems     TEXT COLLATE "C" NOT NULL,
    -- The lists that lost too much to be believed once.
    held_back    TEXT COLLATE "C" NOT NULL
);

-- People who are signed in to the console. Part of no log: a session says who acts, and what is done is in the logs.
CREATE TABLE console_sessions (
    -- SHA-256 of the token, which itself is kept nowhere.
    id           BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    key_id       TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    -- The secret of the key that was shown; NULL: a link was used.
    secret       BYTEA   CHECK (length(secret) = 32),
    created_time BIGINT  NOT NULL,
    seen_time    BIGINT  NOT NULL,
    expires_time BIGINT  NOT NULL,
    -- The browser in a few words, such as "Chrome on Android"; empty where it is not known.
    browser      TEXT COLLATE "C" NOT NULL
);

CREATE INDEX console_sessions_by_key ON console_sessions (key_id, seen_time);

-- Links that sign in once.
CREATE TABLE console_links (
    -- SHA-256 of the token, which itself is kept nowhere.
    id           BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    key_id       TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    expires_time BIGINT  NOT NULL,
    -- NULL: it was not used.
    used_time    BIGINT 
);

CREATE INDEX console_links_by_key ON console_links (key_id, expires_time);
