-- Providers that an operator describes. The change feed may name them: kinds are checked by who reads it.
CREATE TABLE custom_providers (
    seq                  INTEGER PRIMARY KEY,
    id                   BLOB    NOT NULL CONSTRAINT custom_providers_id_unique UNIQUE CONSTRAINT custom_providers_id_is_uuid CHECK (length(id) = 16),
    revision             INTEGER NOT NULL,
    -- Lower case.
    name                 TEXT    NOT NULL CONSTRAINT custom_providers_name_unique UNIQUE,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    -- An array in the order given.
    routes               TEXT    NOT NULL,
    authentication_param TEXT    NOT NULL
) STRICT;

-- As before, without the list of kinds. Positions stay: the last change of all is always there, so none is used twice.
CREATE TABLE changes_of_any_kind (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    row_id   BLOB NOT NULL,
    -- Of a key that was deleted; NULL while the row lives.
    gone     BLOB,
    CONSTRAINT changes_one_per_row UNIQUE (kind, row_id)
) STRICT;
INSERT INTO changes_of_any_kind (position, kind, row_id, gone) SELECT position, kind, row_id, gone FROM changes ORDER BY position;
DROP TABLE changes;
ALTER TABLE changes_of_any_kind RENAME TO changes;
