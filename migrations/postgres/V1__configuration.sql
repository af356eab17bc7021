-- Keys, provider settings, custom providers, models, groups, grants, routes, accounts and the change feed.
-- Times are milliseconds since 1970 UTC, money is in 1e-10 USD, JSON is text as it was written, never jsonb.
-- Texts that are compared or sorted go by their bytes, whatever the locale of the server.

CREATE TABLE groups (
    id          bigint CONSTRAINT groups_pk PRIMARY KEY,
    revision    bigint NOT NULL,
    name        text   COLLATE "C" NOT NULL CONSTRAINT groups_name_unique UNIQUE,
    -- For case-insensitive search beyond ASCII, here and below.
    name_folded text   COLLATE "C" NOT NULL,
    code        text,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL
);

CREATE TABLE models (
    id          bigint  CONSTRAINT models_pk PRIMARY KEY,
    revision    bigint  NOT NULL,
    name        text    COLLATE "C" NOT NULL CONSTRAINT models_name_unique UNIQUE,
    name_folded text    COLLATE "C" NOT NULL,
    provider    text    COLLATE "C" NOT NULL,
    multiple    boolean NOT NULL,
    -- Per token.
    price_in    bigint  NOT NULL,
    price_out   bigint  NOT NULL,
    -- Sealed.
    config      text    NOT NULL,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL
);

CREATE TABLE keys (
    id                   uuid     CONSTRAINT keys_pk PRIMARY KEY,
    -- Which people use.
    number               bigint   NOT NULL CONSTRAINT keys_number_unique UNIQUE,
    revision             bigint   NOT NULL,
    digest               bytea    NOT NULL CONSTRAINT keys_digest_unique UNIQUE CONSTRAINT keys_digest_is_sha256 CHECK (octet_length(digest) = 32),
    hint                 text     NOT NULL,
    name                 text     COLLATE "C" NOT NULL,
    name_folded          text     COLLATE "C" NOT NULL,
    tags                 text[]   COLLATE "C" NOT NULL,
    created_at           bigint   NOT NULL,
    updated_at           bigint   NOT NULL,
    revoked              boolean  NOT NULL,
    revoked_reason       text     NOT NULL,
    single_setting       boolean  NOT NULL,
    setting_ids          uuid[]   NOT NULL,
    rotation             boolean  NOT NULL,
    allowed_paths        text     NOT NULL,
    ttl                  text     NOT NULL,
    rate_limit           bigint,
    rate_window          text,
    total_budget         bigint,
    window_budget        bigint,
    window_budget_window text,
    budget_mode          text,
    log_request          boolean  NOT NULL,
    log_response         boolean  NOT NULL,
    policy_id            text     NOT NULL,
    is_key_not_hashed    boolean  NOT NULL,
    email                text,
    email_folded         text     COLLATE "C",
    -- NULL = user.
    role                 text     COLLATE "C",
    group_id             bigint   CONSTRAINT keys_group_is_known REFERENCES groups (id),
    -- The key's rows of `key_grants`, oldest first; NULL = none. Here too, because a start reads every key.
    model_ids            bigint[],
    quota                bigint,
    CONSTRAINT keys_rate_is_whole CHECK ((rate_limit IS NULL) = (rate_window IS NULL)),
    CONSTRAINT keys_window_budget_is_whole CHECK ((window_budget IS NULL) = (window_budget_window IS NULL))
);
CREATE INDEX keys_by_creation ON keys (created_at, id);
CREATE INDEX keys_by_group ON keys (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE key_grants (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT key_grants_pk PRIMARY KEY,
    key_number bigint NOT NULL CONSTRAINT key_grants_of_key REFERENCES keys (number) ON DELETE CASCADE,
    model_id   bigint NOT NULL CONSTRAINT key_grants_of_model REFERENCES models (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    CONSTRAINT key_grants_once UNIQUE (key_number, model_id)
);
CREATE INDEX key_grants_by_model ON key_grants (model_id);

CREATE TABLE group_grants (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT group_grants_pk PRIMARY KEY,
    group_id   bigint NOT NULL CONSTRAINT group_grants_of_group REFERENCES groups (id) ON DELETE CASCADE,
    model_id   bigint NOT NULL CONSTRAINT group_grants_of_model REFERENCES models (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    CONSTRAINT group_grants_once UNIQUE (group_id, model_id)
);
CREATE INDEX group_grants_by_model ON group_grants (model_id);

CREATE TABLE provider_settings (
    id             uuid   CONSTRAINT provider_settings_pk PRIMARY KEY,
    revision       bigint NOT NULL,
    provider       text   COLLATE "C" NOT NULL,
    name           text   NOT NULL,
    created_at     bigint NOT NULL,
    updated_at     bigint NOT NULL,
    allowed_models text   NOT NULL,
    parameters     text   NOT NULL,
    -- Entry name to sealed value.
    secrets        text   NOT NULL,
    cost_map       text
);

CREATE TABLE custom_providers (
    id                   uuid   CONSTRAINT custom_providers_pk PRIMARY KEY,
    -- In the order of creation, among those of one moment.
    seq                  bigint GENERATED ALWAYS AS IDENTITY,
    revision             bigint NOT NULL,
    -- Lower case.
    name                 text   COLLATE "C" NOT NULL CONSTRAINT custom_providers_name_unique UNIQUE,
    created_at           bigint NOT NULL,
    updated_at           bigint NOT NULL,
    -- An array in the order given.
    routes               text   NOT NULL,
    authentication_param text   NOT NULL
);

CREATE TABLE routes (
    id             uuid   CONSTRAINT routes_pk PRIMARY KEY,
    seq            bigint GENERATED ALWAYS AS IDENTITY,
    revision       bigint NOT NULL,
    name           text   NOT NULL,
    -- With its slash.
    path           text   COLLATE "C" NOT NULL CONSTRAINT routes_path_unique UNIQUE,
    created_at     bigint NOT NULL,
    updated_at     bigint NOT NULL,
    -- A key that was deleted may still be named.
    key_ids        uuid[] NOT NULL,
    -- An array in the order given.
    steps          text   NOT NULL,
    cache          text   NOT NULL,
    -- NULL = not said.
    retry_strategy text,
    request_format text   NOT NULL
);

-- The last number that each kind of row was given. Not a sequence: what was rolled back gives its numbers back, and a
-- number that was given once is never given again. One writer at a time changes configuration, so nobody waits for it.
CREATE TABLE numbers (
    kind text   COLLATE "C" CONSTRAINT numbers_pk PRIMARY KEY,
    last bigint NOT NULL
);
INSERT INTO numbers (kind, last) VALUES ('key', 0), ('model', 0), ('group', 0);

-- What is done once in the life of a store.
CREATE TABLE milestones (
    name text COLLATE "C" CONSTRAINT milestones_pk PRIMARY KEY
);

-- Of keys that were charged under a quota rule or credited. Goes with its key, unlike `key_spend`.
CREATE TABLE accounts (
    key_id    uuid   CONSTRAINT accounts_pk PRIMARY KEY CONSTRAINT accounts_of_key REFERENCES keys (id) ON DELETE CASCADE,
    -- Start of the month of `month_fee`.
    month     bigint NOT NULL,
    month_fee bigint NOT NULL,
    balance   bigint NOT NULL,
    -- Everything that was ever added to the balance.
    credited  bigint NOT NULL
);

-- Sum of the costs of a key's events that an instance booked, kept in the transaction that writes them. Of each instance
-- apart, so that gateways never wait for one another. Outlives the key.
CREATE TABLE key_spend (
    key_id   uuid    NOT NULL,
    instance integer NOT NULL,
    total    bigint  NOT NULL,
    CONSTRAINT key_spend_pk PRIMARY KEY (key_id, instance)
);

-- The last change of each row, numbered in the order of commits.
CREATE TABLE changes (
    position bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT changes_pk PRIMARY KEY,
    kind     text   COLLATE "C" NOT NULL,
    row_id   bytea  NOT NULL,
    -- Of a key that was deleted; NULL while the row lives.
    gone     bytea,
    CONSTRAINT changes_one_per_row UNIQUE (kind, row_id)
);
