CREATE TABLE eiai_key (id SERIAL PRIMARY KEY, group_id INT DEFAULT 0, api_key VARCHAR(64) NOT NULL, name VARCHAR(255),
    email VARCHAR(255), role VARCHAR(64) DEFAULT 'user', total_fee DECIMAL(16,10) DEFAULT 0,
    balance DECIMAL(16,10) DEFAULT 0, month_fee DECIMAL(16,10) DEFAULT 0, month_quota DECIMAL(16,10) DEFAULT 0,
    created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE eiai_model (id SERIAL PRIMARY KEY, name VARCHAR(64) UNIQUE, config JSONB NOT NULL, provider VARCHAR(255),
    multiple INT DEFAULT 0, model_type INT DEFAULT 1, price_in DECIMAL(10,10) DEFAULT 0,
    price_out DECIMAL(10,10) DEFAULT 0, created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE eiai_key_model (id SERIAL PRIMARY KEY, key_id INT, model_id INT, created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE eiai_group (id SERIAL PRIMARY KEY, name VARCHAR(64), key VARCHAR(64), created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE eiai_group_model (id SERIAL PRIMARY KEY, model_id INT, group_id INT, created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now(), UNIQUE (model_id, group_id));
CREATE TABLE eiai_session (id SERIAL PRIMARY KEY, key VARCHAR(128) NOT NULL, key_id INT NOT NULL);
CREATE TABLE eiai_thread (id SERIAL PRIMARY KEY, prompt TEXT, completion TEXT, whole_prompt TEXT, thread_type INT DEFAULT 0,
    key_id INT NOT NULL, model_id INT, session_id INT, session_key VARCHAR(128), tokens_in INT DEFAULT 0,
    tokens_out INT DEFAULT 0, price_in DECIMAL(10,10), price_out DECIMAL(10,10), fee DECIMAL(12,10) DEFAULT 0,
    currency CHAR(3) DEFAULT 'USD', invocation_latency INT DEFAULT 0, first_byte_latency INT DEFAULT 0,
    created_at TIMESTAMP DEFAULT now(), updated_at TIMESTAMP DEFAULT now());
CREATE TABLE eiai_payment (id SERIAL PRIMARY KEY, key_id INT NOT NULL, fee DECIMAL(10,2) NOT NULL);

INSERT INTO eiai_model (id, name, config, provider, multiple, price_in, price_out, created_at, updated_at) VALUES
(2, 'claude', '{"modelId":"anthropic.claude-3-sonnet-20240229-v1:0"}', 'bedrock-converse', 1, 0.0000030000, 0.0000150000, '2024-05-01', '2024-05-01'),
(7, '模型', '"{\"baseURL\":\"https://m.example/v1\",\"apiKey\":\"sk-model\",\"model\":\"m\"}"', 'openai-compatible', 0, 0.0000000001, 0, '2024-05-02', '2024-05-02'),
(8, 'a/b', '{}', 'bedrock-converse', 0, 0, 0, '2024-05-02', '2024-05-02');
INSERT INTO eiai_group (id, name, key, created_at, updated_at) VALUES
(1, 'default', NULL, '2024-05-01', '2024-05-01'), (4, '团队', 'T', '2024-05-01', '2024-05-01'),
(5, '团队', '', '2024-05-01', '2024-05-01');
INSERT INTO eiai_group_model (id, model_id, group_id) VALUES (1, 2, 1), (2, 7, 4), (3, 99, 4);
INSERT INTO eiai_key (id, group_id, api_key, name, email, role, total_fee, balance, month_fee, month_quota, created_at, updated_at) VALUES
(3, 1, 'br-00000000000000000000000000001', '管理员', 'a@b.c', 'admin', 12.3456789012, 5.0000000001, 1.5, 20, '2024-05-01 10:00:00.123456', '2024-09-10 08:15:30.5'),
(10, 0, 'br-00000000000000000000000000002', NULL, NULL, 'user', 0.0045, -0.0035, 1, 1, '2024-05-02', '2024-09-11'),
(11, 77, 'br-00000000000000000000000000003', 'no group', '', NULL, 0, 0, 0, 0, '2024-05-03', '2024-05-03'),
(12, 0, 'br-00000000000000000000000000003', 'same value', '', 'user', 0, 0, 0, 0, '2024-05-03', '2024-05-03'),
(13, 0, '', 'no value', '', 'user', 0, 0, 0, 0, '2024-05-03', '2024-05-03');
INSERT INTO eiai_key_model (id, key_id, model_id) VALUES (1, 3, 7), (2, 3, 7), (3, 10, 2), (4, 99, 2);
INSERT INTO eiai_thread (id, prompt, completion, key_id, model_id, tokens_in, tokens_out, fee, invocation_latency, created_at) VALUES
(1, '秘密', 'secret answer', 3, 2, 1000, 100, 0.0045, 1500, '2024-09-10 08:15:30.5'),
(2, NULL, NULL, 10, NULL, 1, 2, 0.0000000001, 0, '2024-09-11'),
(3, NULL, NULL, 98, NULL, 1, 2, 0.5, 0, '2024-01-01');
INSERT INTO eiai_session (key, key_id) VALUES ('s', 3);
INSERT INTO eiai_payment (key_id, fee) VALUES (3, 5.00), (3, 1.00);
