-- Routes, and how one came to an event's answer. Columns are only added, so the former process of an upgrade goes on with
-- the same tables.
CREATE TABLE routes (
    seq            INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL CONSTRAINT routes_id_unique UNIQUE CONSTRAINT routes_id_is_uuid CHECK (length(id) = 16),
    revision       INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    -- With its slash.
    path           TEXT    NOT NULL CONSTRAINT routes_path_unique UNIQUE,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    -- An array of UUIDs as text; a key that was deleted may still be named.
    key_ids        TEXT    NOT NULL,
    -- An array in the order given.
    steps          TEXT    NOT NULL,
    cache          TEXT    NOT NULL,
    -- NULL = not said.
    retry_strategy TEXT,
    request_format TEXT    NOT NULL
) STRICT;

-- JSON; NULL = no route served it.
ALTER TABLE events ADD COLUMN route TEXT;
