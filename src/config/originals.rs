//! Variables of the products that Tollgate replaces, or that one may take for theirs, and that mean nothing here: each is
//! answered with advice.

use super::environment::Environment;

const NO_STATSD: &str = "statsd is not available, scrape /metrics of the admin listener";
const TLS_BY_MODE: &str = "set POSTGRESQL_SSL_MODE, e.g. to verify-full";
const TLS_OF_REDIS: &str = "set TOLLGATE_COUNTERS_TLS to true";
const SEALED_HERE: &str = "credentials are sealed with security.master_key instead";
const NO_PII: &str = "detection of personal data is not available";

/// `OPENAI_API_KEY` is not here: many machines have it for other programs.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("STATS_PROVIDER", NO_STATSD),
    ("STATS_ENABLED", NO_STATSD),
    ("STATS_ADDRESS", NO_STATSD),
    ("TELEMETRY_PROVIDER", NO_STATSD),
    ("PROMETHEUS_ENABLED", "metrics are always on, /metrics of the admin listener"),
    ("PROMETHEUS_PORT", "set TOLLGATE_TELEMETRY_METRICS_LISTEN, e.g. to 0.0.0.0:2112"),
    ("REDIS_WRITE_TIME_OUT", "counters.timeout, or REDIS_READ_TIME_OUT, is that of every call"),
    ("POSTGRESQL_SSL_ENABLED", TLS_BY_MODE),
    ("PGSQL_SSL", TLS_BY_MODE),
    ("REDIS_SSL", TLS_OF_REDIS),
    ("REDIS_TLS", TLS_OF_REDIS),
    ("PGSQL_DEBUG_MODE", "statements are never printed: they hold what must not be seen"),
    ("CONFIG_FILE_NAME", "name a TOML file with --config"),
    ("NUMBER_OF_EVENT_MESSAGE_CONSUMERS", "events are written by the journal"),
    ("CUSTOM_POLICY_DETECTION_TIMEOUT", "policies are not available"),
    ("AMAZON_REGION", NO_PII),
    ("AMAZON_REQUEST_TIMEOUT", NO_PII),
    ("AMAZON_CONNECTION_TIMEOUT", NO_PII),
    ("KEY_SECRET", "keys are shown once, when they are made"),
    ("BILLING_RESERVE", "set limits.budget_mode to observe to admit without a reservation"),
    ("MODEL_AUTH_MODE", "a key may use what it or its group is granted"),
    ("PERFORMANCE_MODE", "every request is billed"),
    ("ENABLE_ENCRYPTION", SEALED_HERE),
    ("ENCRYPTION_ENDPOINT", SEALED_HERE),
    ("DECRYPTION_ENDPOINT", SEALED_HERE),
    ("ENCRYPTION_TIMEOUT", SEALED_HERE),
    ("AUDIENCE", SEALED_HERE),
];

/// `place` follows a variable's name in messages.
pub(super) fn check(environment: &Environment, place: &str, warnings: &mut Vec<String>) {
    let is_set = |name: &str| environment.get(name).is_some() || environment.is_unreadable(name);
    for (name, advice) in WITHOUT_EFFECT {
        if is_set(name) {
            warnings.push(format!("{name}{place} has no effect: {advice}"));
        }
    }
}
