-- Events, what they sum up to, and what providers keep for callers.
-- Times are milliseconds since 1970 UTC, money is in 1e-10 USD, JSON is text as it was written.

-- An id is a UUID v7 and begins with the moment of admission, so that a range of ids is a range of time, and the one
-- unique index that makes an event count once is also what splits the table.
CREATE TABLE events (
    id                  uuid     NOT NULL,
    created_at          bigint   NOT NULL,
    cost                bigint   NOT NULL,
    latency_ms          bigint   NOT NULL,
    prompt_tokens       bigint   NOT NULL,
    completion_tokens   bigint   NOT NULL,
    -- Who booked it.
    instance            integer  NOT NULL,
    status              integer  NOT NULL,
    -- Not refused.
    admitted            boolean  NOT NULL,
    -- From here on NULL stands for empty.
    key_id              uuid,
    setting_id          uuid,
    -- These four may be the short form of a row of `long_texts`.
    model               text     COLLATE "C" NOT NULL,
    custom_id           text     COLLATE "C",
    user_id             text     COLLATE "C",
    tags                text[]   COLLATE "C",
    provider            text     NOT NULL,
    method              text     NOT NULL,
    path                text     NOT NULL,
    flags               text,
    usage               text,
    request_id          text,
    upstream_request_id text,
    metadata            text,
    route               text,
    -- Bodies that a key asks to keep. The engine stores what is large apart by itself.
    request             text,
    response            text,
    CONSTRAINT events_pk PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Whatever no month was made for: ids of other times or other kinds.
CREATE TABLE events_other PARTITION OF events DEFAULT;

-- Every index is paid for by every request, so that these answer the API's filters and nothing else.
-- Lists and reports of a range of time; retention. Small: it grows at its end only.
CREATE INDEX events_by_time ON events (created_at);
-- The same of some keys; one key's recent spend. One page of it per active key stays in memory.
CREATE INDEX events_by_key ON events (key_id, created_at) WHERE key_id IS NOT NULL;
-- Paid for only by events that carry one: the filter, and the distinct ones of a key.
CREATE INDEX events_by_custom_id ON events (custom_id) WHERE custom_id IS NOT NULL;
CREATE INDEX events_by_user_id ON events (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX events_by_key_and_custom_id ON events (key_id, custom_id) WHERE custom_id IS NOT NULL;
CREATE INDEX events_by_key_and_user_id ON events (key_id, user_id) WHERE user_id IS NOT NULL;
-- Events that carry all of some tags.
CREATE INDEX events_by_tags ON events USING gin (tags) WHERE tags IS NOT NULL;

-- An index cannot hold a text of more than some 2700 bytes, and callers may send one: such a text is kept here once,
-- and events carry a short form with its digest.
CREATE TABLE long_texts (
    short text   COLLATE "C" CONSTRAINT long_texts_pk PRIMARY KEY,
    whole text   NOT NULL,
    -- Of the newest event that carries it.
    seen  bigint NOT NULL
);

-- Sums of events per hour and per day, kept in the transaction that writes them. Exact however large, hence numeric.
-- A row for each gateway that books, so that no gateway waits for another.
CREATE TABLE usage_by_time (
    -- All-zero = nobody; all ones = all together, nobody included, for whom nothing is counted as admitted.
    key_id            uuid    NOT NULL,
    -- Milliseconds: an hour or a day.
    span              bigint  NOT NULL,
    start             bigint  NOT NULL,
    model             text    COLLATE "C" NOT NULL,
    instance          integer NOT NULL,
    -- Of the events that ended in it.
    requests          bigint  NOT NULL,
    successes         bigint  NOT NULL,
    cost              numeric NOT NULL,
    latency_ms        numeric NOT NULL,
    prompt_tokens     numeric NOT NULL,
    completion_tokens numeric NOT NULL,
    -- Of the events that were admitted in it: how many, and when the last of them ended.
    admitted          bigint  NOT NULL,
    ended_by          bigint  NOT NULL,
    CONSTRAINT usage_by_time_pk PRIMARY KEY (key_id, span, start, model, instance)
) WITH (fillfactor = 80);
CREATE INDEX usage_by_time_of_all ON usage_by_time (span, start);

-- How many events took how long: per hour and day of all keys together (`key_id` all ones), per day of each key.
CREATE TABLE latency_by_time (
    key_id   uuid     NOT NULL,
    span     bigint   NOT NULL,
    start    bigint   NOT NULL,
    bucket   smallint NOT NULL,
    instance integer  NOT NULL,
    events   bigint   NOT NULL,
    CONSTRAINT latency_by_time_pk PRIMARY KEY (key_id, span, start, bucket, instance)
) WITH (fillfactor = 80);

-- The bucket of a latency. Below 128 each has its own; above, each power of two has 64 of them, so that the middle of
-- a bucket is within 1/128 of whatever is in it.
CREATE FUNCTION latency_bucket(latency bigint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN latency < 128 THEN greatest(latency, 0)
         ELSE 64 * (58 - position('1' IN (latency::bit(64))::text))
              + (latency >> (58 - position('1' IN (latency::bit(64))::text))) END::smallint;

-- Milliseconds since 1970 that an id begins with.
CREATE FUNCTION made_at(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint;

-- What providers keep for callers, and whose it is. Written with the event of the request that made it.
CREATE TABLE objects (
    provider   text   COLLATE "C" NOT NULL,
    -- As the provider names it, or the short form of that.
    id         text   COLLATE "C" NOT NULL,
    kind       text   NOT NULL,
    key_id     uuid   NOT NULL,
    -- Whose credential it was made with.
    setting_id uuid,
    -- The object under whose id the consumption is charged, when that is another.
    charged_as text,
    made_at    bigint NOT NULL,
    CONSTRAINT objects_pk PRIMARY KEY (provider, id)
);

-- Work whose consumption was told after it was asked for: each is in the cost of one event, ever.
CREATE TABLE charges (
    provider  text COLLATE "C" NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    event_id  uuid NOT NULL,
    CONSTRAINT charges_pk PRIMARY KEY (provider, object_id)
);
