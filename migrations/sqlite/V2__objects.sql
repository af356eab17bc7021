-- What providers keep for callers, and whose it is. Written with the event of the request that made it.
CREATE TABLE objects (
    provider   TEXT    NOT NULL,
    -- As the provider names it.
    id         TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    key_id     BLOB    NOT NULL CONSTRAINT objects_key_is_uuid CHECK (length(key_id) = 16),
    -- Whose credential it was made with.
    setting_id BLOB,
    -- The object under whose id the consumption is charged, when that is another.
    charged_as TEXT,
    made_at    INTEGER NOT NULL,
    CONSTRAINT objects_pk PRIMARY KEY (provider, id)
) STRICT, WITHOUT ROWID;

-- Work whose consumption was told after it was asked for: each is in the cost of one event, ever.
CREATE TABLE charges (
    provider  TEXT NOT NULL,
    object_id TEXT NOT NULL,
    event_id  BLOB NOT NULL CONSTRAINT charges_event_is_uuid CHECK (length(event_id) = 16),
    CONSTRAINT charges_pk PRIMARY KEY (provider, object_id)
) STRICT, WITHOUT ROWID;
