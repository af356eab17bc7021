-- What was taken over from another product: which row became which, how it was left, and what it adds to all-time spend.
CREATE TABLE imports (
    -- Product and database.
    source    text   COLLATE "C" NOT NULL,
    kind      text   COLLATE "C" NOT NULL,
    -- As the source names the row.
    source_id text   COLLATE "C" NOT NULL,
    -- As this store names it, or what was written.
    target    text   NOT NULL,
    -- Of the row here, when the import last wrote it.
    revision  bigint NOT NULL,
    CONSTRAINT imports_pk PRIMARY KEY (source, kind, source_id)
);

-- In `key_spend` too, under an instance that no gateway has. Only grows.
CREATE TABLE imported_spend (
    source text   COLLATE "C" NOT NULL,
    key_id uuid   NOT NULL,
    total  bigint NOT NULL,
    CONSTRAINT imported_spend_pk PRIMARY KEY (source, key_id)
);
