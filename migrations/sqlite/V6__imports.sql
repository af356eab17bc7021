-- What was taken over from another product: which row became which, how it was left, and what it adds to all-time spend.
CREATE TABLE imports (
    -- Product and database.
    source    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    -- As the source names the row.
    source_id TEXT    NOT NULL,
    -- As this store names it, or what was written.
    target    TEXT    NOT NULL,
    -- Of the row here, when the import last wrote it.
    revision  INTEGER NOT NULL,
    CONSTRAINT imports_pk PRIMARY KEY (source, kind, source_id)
) STRICT, WITHOUT ROWID;

-- In `key_spend` too. Only grows.
CREATE TABLE imported_spend (
    source TEXT    NOT NULL,
    key_id BLOB    NOT NULL CONSTRAINT imported_spend_key_is_uuid CHECK (length(key_id) = 16),
    total  INTEGER NOT NULL,
    CONSTRAINT imported_spend_pk PRIMARY KEY (source, key_id)
) STRICT, WITHOUT ROWID;
