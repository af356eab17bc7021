-- The last commits of configuration, each with a token of its own. Whoever read the change feed knows the newest one
-- then; when it is not here any more, this is another history: a server that was behind has taken over, or a copy was
-- restored, and positions of the feed may be given a second time.
CREATE TABLE commits (
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT commits_pk PRIMARY KEY,
    token  uuid   NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO commits DEFAULT VALUES;
