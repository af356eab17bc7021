-- The gateways of this database. Each has a number under which it books its events, and keeps it as long as it has its
-- journal: a row is given to another only after everything that was booked under it is in the ledger.
CREATE TABLE instances (
    id       integer CONSTRAINT instances_pk PRIMARY KEY,
    -- Of the journal that has it; NULL = free.
    token    uuid,
    -- The process that was seen last: two that live with one token notice each other here.
    process  uuid,
    -- By the clock of the server, milliseconds since 1970 UTC; 0 = it has left.
    seen_at  bigint  NOT NULL,
    -- Up to where of the change feed it shows the configuration; NULL = it shows nothing yet.
    position bigint,
    version  text    NOT NULL,
    CONSTRAINT instances_count_from_one CHECK (id >= 1)
);
