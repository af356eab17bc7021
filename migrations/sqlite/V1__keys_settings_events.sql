-- Keys, provider settings, the change feed, the ledger of events and its rollup.
-- Ids are 16-byte UUIDs, times are milliseconds since 1970 UTC, money is in 1e-10 USD, lists and maps are JSON text.

CREATE TABLE keys (
    seq                  INTEGER PRIMARY KEY,
    id                   BLOB    NOT NULL CONSTRAINT keys_id_unique UNIQUE CONSTRAINT keys_id_is_uuid CHECK (length(id) = 16),
    revision             INTEGER NOT NULL,
    digest               BLOB    NOT NULL CONSTRAINT keys_digest_unique UNIQUE CONSTRAINT keys_digest_is_sha256 CHECK (length(digest) = 32),
    hint                 TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    -- For case-insensitive search beyond ASCII.
    name_folded          TEXT    NOT NULL,
    tags                 TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    revoked              INTEGER NOT NULL CONSTRAINT keys_revoked_is_bool CHECK (revoked IN (0, 1)),
    revoked_reason       TEXT    NOT NULL,
    single_setting       INTEGER NOT NULL,
    setting_ids          TEXT    NOT NULL,
    rotation             INTEGER NOT NULL,
    allowed_paths        TEXT    NOT NULL,
    ttl                  TEXT    NOT NULL,
    rate_limit           INTEGER,
    rate_window          TEXT,
    total_budget         INTEGER,
    window_budget        INTEGER,
    window_budget_window TEXT,
    budget_mode          TEXT,
    log_request          INTEGER NOT NULL,
    log_response         INTEGER NOT NULL,
    policy_id            TEXT    NOT NULL,
    is_key_not_hashed    INTEGER NOT NULL,
    CONSTRAINT keys_rate_is_whole CHECK ((rate_limit IS NULL) = (rate_window IS NULL)),
    CONSTRAINT keys_window_budget_is_whole CHECK ((window_budget IS NULL) = (window_budget_window IS NULL))
) STRICT;

CREATE INDEX keys_by_creation ON keys (created_at, id);

CREATE TABLE provider_settings (
    seq            INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL CONSTRAINT provider_settings_id_unique UNIQUE CONSTRAINT provider_settings_id_is_uuid CHECK (length(id) = 16),
    revision       INTEGER NOT NULL,
    provider       TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    allowed_models TEXT    NOT NULL,
    parameters     TEXT    NOT NULL,
    -- Entry name to sealed value.
    secrets        TEXT    NOT NULL,
    cost_map       TEXT
) STRICT;

-- The last change of each row, numbered in the order of commits. AUTOINCREMENT: a number is never used twice.
CREATE TABLE changes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL CONSTRAINT changes_kind_is_known CHECK (kind IN ('key', 'setting')),
    row_id   BLOB NOT NULL,
    -- Of a key that was deleted; NULL while the row lives.
    gone     BLOB,
    CONSTRAINT changes_one_per_row UNIQUE (kind, row_id)
) STRICT;

-- Rows are appended in the order of completion, so that a range of time is a range of pages.
CREATE TABLE events (
    seq                 INTEGER PRIMARY KEY,
    id                  BLOB    NOT NULL CONSTRAINT events_id_unique UNIQUE CONSTRAINT events_id_is_uuid CHECK (length(id) = 16),
    created_at          INTEGER NOT NULL,
    key_id              BLOB,
    cost                INTEGER NOT NULL,
    latency_ms          INTEGER NOT NULL,
    status              INTEGER NOT NULL,
    prompt_tokens       INTEGER NOT NULL,
    completion_tokens   INTEGER NOT NULL,
    provider            TEXT    NOT NULL,
    model               TEXT    NOT NULL,
    -- From here on NULL stands for empty.
    custom_id           TEXT,
    user_id             TEXT,
    tags                TEXT,
    flags               TEXT,
    setting_id          BLOB,
    method              TEXT    NOT NULL,
    path                TEXT    NOT NULL,
    usage               TEXT,
    request_id          TEXT,
    upstream_request_id TEXT,
    metadata            TEXT
) STRICT;

-- Every index is paid for by every request: these answer the API's filters, nothing else.
CREATE INDEX events_by_time ON events (created_at, key_id);
CREATE INDEX events_by_custom_id ON events (custom_id, key_id) WHERE custom_id IS NOT NULL;
CREATE INDEX events_by_user_id ON events (user_id, key_id) WHERE user_id IS NOT NULL;

-- Bodies that a key asks to keep; apart, because they are large and few.
CREATE TABLE event_bodies (
    event_id BLOB PRIMARY KEY CONSTRAINT event_bodies_of_event REFERENCES events (id) ON DELETE CASCADE,
    request  TEXT,
    response TEXT
) STRICT;

-- Sum of the costs of a key's events, kept in the transaction that writes them. Outlives the key.
CREATE TABLE key_spend (
    key_id BLOB    NOT NULL CONSTRAINT key_spend_pk PRIMARY KEY,
    total  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
