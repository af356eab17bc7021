//! Variables by which a cloud platform tells a process its own credentials. They are nobody's configuration of this
//! product: not in the file, not listed by `tollgate check`, only handed on.

use super::environment::Environment;
use crate::domain::Secret;
use std::collections::BTreeMap;

const NAMES: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "HOME",
    "USERPROFILE",
];

/// Those that are set; the process goes before `.env`.
pub(super) fn variables(process: &Environment, dotenv: &Environment) -> BTreeMap<&'static str, Secret> {
    let value = |name: &str| process.get(name).or_else(|| dotenv.get(name)).map(Secret::new);
    NAMES.into_iter().filter_map(|name| Some((name, value(name)?))).collect()
}
