CREATE TABLE keys (name VARCHAR(255), created_at BIGINT, updated_at BIGINT, tags VARCHAR(255)[], revoked BOOL,
    key_id VARCHAR(255) PRIMARY KEY, key VARCHAR(255) UNIQUE, revoked_reason VARCHAR(255), cost_limit_in_usd FLOAT8,
    cost_limit_in_usd_over_time FLOAT8, cost_limit_in_usd_unit VARCHAR(255), rate_limit_over_time INT,
    rate_limit_unit VARCHAR(255), ttl VARCHAR(255), setting_id VARCHAR(255), allowed_paths JSONB,
    setting_ids VARCHAR(255)[], should_log_request BOOL, should_log_response BOOL, rotation_enabled BOOL,
    policy_id VARCHAR(255), is_key_not_hashed BOOL);
CREATE TABLE provider_settings (id VARCHAR(255) PRIMARY KEY, created_at BIGINT, updated_at BIGINT,
    provider VARCHAR(255), setting JSONB, name VARCHAR(255), allowed_models VARCHAR(255)[], cost_map JSONB);
CREATE TABLE custom_providers (id VARCHAR(255) PRIMARY KEY, created_at BIGINT, updated_at BIGINT,
    provider VARCHAR(255), route_configs JSONB, authentication_param VARCHAR(255));
CREATE TABLE routes (id VARCHAR(255) PRIMARY KEY, created_at BIGINT, updated_at BIGINT, name VARCHAR(255),
    path VARCHAR(255), key_ids VARCHAR(255)[], steps JSONB, cache_config JSONB, request_format VARCHAR(255),
    retry_strategy VARCHAR(255));
CREATE TABLE events (event_id VARCHAR(255) PRIMARY KEY, created_at BIGINT, tags VARCHAR(255)[], key_id VARCHAR(255),
    cost_in_usd FLOAT8, provider VARCHAR(255), model VARCHAR(255), status_code INT, prompt_token_count INT,
    completion_token_count INT, latency_in_ms INT, path VARCHAR(255), method VARCHAR(255), custom_id VARCHAR(255),
    request JSONB, response JSONB, user_id VARCHAR(255), action VARCHAR(255), policy_id VARCHAR(255),
    route_id VARCHAR(255), correlation_id VARCHAR(255), metadata JSONB);
CREATE TABLE policies (id VARCHAR(255) PRIMARY KEY);
INSERT INTO policies VALUES ('p1'), ('p2');

INSERT INTO provider_settings VALUES
('00000000-0000-4000-8000-0000000000a1', 100, 101, 'openai', '{"apikey":"sk-up-1","organization":"o"}', '主要', '{gpt-4o,gpt-4o-mini}',
    '{"promptCostPerModel":{"m":0.1},"completionCostPerModel":{"m":0.2},"embeddingsCostPerModel":null}'),
('00000000-0000-4000-8000-0000000000a2', 102, 103, 'Own', '{"token":"sk-up-2"}', NULL, NULL, NULL),
('00000000-0000-4000-8000-0000000000a3', 104, 105, 'unknown', '{"apikey":"sk-up-3"}', 'x', NULL, 'null'),
('00000000-0000-4000-8000-0000000000a4', 106, 107, 'openai', '{"apikey":{"deep":"sk-up-4"}}', 'x', NULL, NULL);
INSERT INTO custom_providers VALUES
('00000000-0000-4000-8000-0000000000b1', 90, 91, 'own', '[{"path":"/chat","target_url":"https://own.example/chat",
    "model_location":"model","request_prompt_location":"prompt","response_completion_location":"text",
    "stream_location":null}]', 'Token'),
('00000000-0000-4000-8000-0000000000b2', 92, 93, 'openai', '[]', '');

-- SHA-256 of "raw-key-one".
INSERT INTO keys VALUES
('钥匙', 200, 201, '{a,b}', false, '00000000-0000-4000-8000-0000000000c1',
    encode(sha256('raw-key-one'), 'hex'), '', 10.5, 0.1::float8 + 0.2::float8, 'mo', 3, 'm', '24h', '',
    '[{"path":"/api/providers/openai/v1/chat/completions","method":"POST"}]',
    '{00000000-0000-4000-8000-0000000000a1,00000000-0000-4000-8000-0000000000ff}', true, false, true, '', false),
('raw', 202, 203, NULL, true, '00000000-0000-4000-8000-0000000000c2', 'raw-key-two', 'expired', 0, 0, '', 0, '', '',
    '00000000-0000-4000-8000-0000000000a1', 'null', NULL, NULL, NULL, NULL, 'p1', true),
(NULL, 204, NULL, NULL, NULL, '00000000-0000-4000-8000-0000000000c3', 'plain by accident', NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('bad ttl', 205, 205, NULL, false, '00000000-0000-4000-8000-0000000000c4', 'raw-key-four', '', 0, 0, '', 0, '',
    'for ever', '', NULL, NULL, false, false, false, '', true),
('bad limit', 206, 206, NULL, false, '00000000-0000-4000-8000-0000000000c5', 'raw-key-five', '', 'NaN', 0, '', 0, '',
    '', '', NULL, NULL, false, false, false, '', true);
INSERT INTO routes VALUES
('00000000-0000-4000-8000-0000000000d1', 300, 301, 'r', '/production/chat', '{00000000-0000-4000-8000-0000000000c1}',
    '[{"provider":"openai","model":"gpt-4o","retries":-1,"params":null,"timeout":"","requestParams":{"temperature":0.5}},
      {"provider":"azure","model":"gpt-4o","retries":2,"params":{"deploymentId":"d","apiVersion":"v"},"timeout":"10s","retryInterval":"500ms"}]',
    '{"enabled":true,"ttl":""}', '', 'exponential'),
('00000000-0000-4000-8000-0000000000d2', 300, 301, 'r', 'no slash', NULL, '[{"provider":"openai","model":"m"}]',
    '{"enabled":false}', NULL, NULL);
INSERT INTO events VALUES
('00000000-0000-4000-8000-0000000000e1', 1700000000, '{a}', '00000000-0000-4000-8000-0000000000c1',
    0.1::float8 + 0.2::float8, 'openai', 'gpt-4o', 200, 10, 5, 1234, '/p', 'POST', 'cid', '{"q": "你好"}', '{}', 'u', 'allowed',
    '', '00000000-0000-4000-8000-0000000000d1', 'corr', '{"m":1}'),
('00000000-0000-4000-8000-0000000000e2', 1700000001, NULL, '00000000-0000-4000-8000-0000000000c1', 1e-10, 'openai',
    'gpt-4o', 429, 0, 0, 0, '/p', 'POST', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('00000000-0000-4000-8000-0000000000e3', 1700000002, NULL, '', 0, NULL, NULL, 401, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, '', NULL, NULL),
('00000000-0000-4000-8000-0000000000e4', 1700000003, NULL, '00000000-0000-4000-8000-0000000000c9', 2, 'openai', 'm', 200,
    1, 1, 1, '/p', 'POST', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('not a uuid', 1700000004, NULL, '00000000-0000-4000-8000-0000000000c1', 1, 'openai', 'm', 200,
    1, 1, 1, '/p', 'POST', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
