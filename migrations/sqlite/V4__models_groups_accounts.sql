-- Models of the unified API, groups, grants, and what makes a key a user of it: membership and account.
-- Money is in 1e-10 USD. Columns are only added, so the former process of an upgrade goes on with the same tables.

-- AUTOINCREMENT here and below: an id is never given twice.
CREATE TABLE models (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    revision    INTEGER NOT NULL,
    name        TEXT    NOT NULL CONSTRAINT models_name_unique UNIQUE,
    name_folded TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    multiple    INTEGER NOT NULL CONSTRAINT models_multiple_is_bool CHECK (multiple IN (0, 1)),
    -- Per token.
    price_in    INTEGER NOT NULL,
    price_out   INTEGER NOT NULL,
    -- Sealed.
    config      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE groups (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    revision    INTEGER NOT NULL,
    name        TEXT    NOT NULL CONSTRAINT groups_name_unique UNIQUE,
    name_folded TEXT    NOT NULL,
    code        TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

ALTER TABLE keys ADD COLUMN email TEXT;
ALTER TABLE keys ADD COLUMN email_folded TEXT;
-- NULL = user.
ALTER TABLE keys ADD COLUMN role TEXT;
ALTER TABLE keys ADD COLUMN group_id INTEGER CONSTRAINT keys_group_is_known REFERENCES groups (id);
-- The key's rows of `key_grants`, oldest first, as an array; NULL = none. Here too, because a start reads every key.
ALTER TABLE keys ADD COLUMN model_ids TEXT;
ALTER TABLE keys ADD COLUMN quota INTEGER;
CREATE INDEX keys_by_group ON keys (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE key_grants (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key_number INTEGER NOT NULL CONSTRAINT key_grants_of_key REFERENCES keys (seq) ON DELETE CASCADE,
    model_id   INTEGER NOT NULL CONSTRAINT key_grants_of_model REFERENCES models (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    CONSTRAINT key_grants_once UNIQUE (key_number, model_id)
) STRICT;
CREATE INDEX key_grants_by_model ON key_grants (model_id);

CREATE TABLE group_grants (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id   INTEGER NOT NULL CONSTRAINT group_grants_of_group REFERENCES groups (id) ON DELETE CASCADE,
    model_id   INTEGER NOT NULL CONSTRAINT group_grants_of_model REFERENCES models (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    CONSTRAINT group_grants_once UNIQUE (group_id, model_id)
) STRICT;
CREATE INDEX group_grants_by_model ON group_grants (model_id);

-- Of keys that were charged under a quota rule or credited. Goes with its key, unlike `key_spend`.
CREATE TABLE accounts (
    key_id    BLOB    NOT NULL CONSTRAINT accounts_pk PRIMARY KEY
                      CONSTRAINT accounts_of_key REFERENCES keys (id) ON DELETE CASCADE,
    -- Start of the month of `month_fee`.
    month     INTEGER NOT NULL,
    month_fee INTEGER NOT NULL,
    balance   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is done once in the life of a store.
CREATE TABLE milestones (
    name TEXT NOT NULL CONSTRAINT milestones_pk PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- `seq` is the number of a key, which people use: that of a deleted key must not come again. Said by triggers instead of
-- AUTOINCREMENT, which would need every key copied, and because they bind a former version that shares the file too.
CREATE TABLE key_numbers (
    -- The highest that was ever deleted.
    deleted INTEGER NOT NULL
) STRICT;
INSERT INTO key_numbers (deleted) VALUES (0);
CREATE TRIGGER keys_number_is_spent AFTER DELETE ON keys WHEN old.seq > (SELECT deleted FROM key_numbers) BEGIN
    UPDATE key_numbers SET deleted = old.seq;
END;
CREATE TRIGGER keys_number_is_new AFTER INSERT ON keys WHEN new.seq <= (SELECT deleted FROM key_numbers) BEGIN
    UPDATE keys SET seq = (SELECT deleted FROM key_numbers) + 1 WHERE seq = new.seq;
END;
