//! Variables of the products that Tollgate replaces and that it cannot honour. Those that name a store are refused:
//! running without the store somebody asked for would lose their data. The rest is answered with advice.

use super::environment::Environment;
use super::mistake::Mistakes;

const STORES: &[(&str, &[&str])] = &[
    (
        "Postgres",
        &[
            "POSTGRESQL_HOSTS",
            "POSTGRESQL_DB_NAME",
            "POSTGRESQL_USERNAME",
            "POSTGRESQL_PASSWORD",
            "POSTGRESQL_SSL_MODE",
            "POSTGRESQL_PORT",
            "POSTGRESQL_READ_TIME_OUT",
            "POSTGRESQL_WRITE_TIME_OUT",
            "PGSQL_HOST",
            "PGSQL_PORT",
            "PGSQL_DATABASE",
            "PGSQL_USER",
            "PGSQL_PASSWORD",
            "PGSQL_MAX",
            "PGSQL_DEBUG_MODE",
        ],
    ),
    (
        "Redis",
        &[
            "REDIS_HOSTS",
            "REDIS_USERNAME",
            "REDIS_PASSWORD",
            "REDIS_PORT",
            "REDIS_READ_TIME_OUT",
            "REDIS_WRITE_TIME_OUT",
            "REDIS_DB_START_INDEX",
        ],
    ),
];

const NO_STATSD: &str = "statsd is not available, scrape /metrics of the admin listener";
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
pub(super) fn check(environment: &Environment, place: &str, mistakes: &mut Mistakes, warnings: &mut Vec<String>) {
    let is_set = |name: &str| environment.get(name).is_some() || environment.is_unreadable(name);
    for (engine, names) in STORES {
        let set: Vec<_> = names.iter().copied().filter(|name| is_set(name)).collect();
        if !set.is_empty() {
            let it = if set.len() == 1 { "it" } else { "them" };
            mistakes.add(
                &format!("{}{place}", set.join(", ")),
                format!("{engine} is not available in this build, unset {it}"),
                None,
            );
        }
    }
    for (name, advice) in WITHOUT_EFFECT {
        if is_set(name) {
            warnings.push(format!("{name}{place} has no effect: {advice}"));
        }
    }
}
