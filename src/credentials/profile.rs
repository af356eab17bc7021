//! The files that AWS's command line keeps its profiles in: sections and `name = value` lines.

use crate::domain::Secret;
use crate::providers::AmbientCredentials;
use std::collections::BTreeMap;

/// The keys that stand in a section; `None` when it is not there or has none.
pub(super) fn credentials(text: &str, section: &str) -> Option<AmbientCredentials> {
    let mut here = false;
    let mut found: BTreeMap<String, &str> = BTreeMap::new();
    for line in text.lines() {
        // Indented lines belong to a nested value, which none of ours is.
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            here = name.split_whitespace().eq(section.split_whitespace());
        } else if here && let Some((name, value)) = line.split_once('=') {
            found.insert(name.trim().to_ascii_lowercase(), value.trim());
        }
    }
    let get = |name: &str| found.get(name).filter(|value| !value.is_empty()).copied();
    Some(AmbientCredentials {
        access_key_id: get("aws_access_key_id")?.into(),
        secret_access_key: Secret::new(get("aws_secret_access_key")?),
        session_token: get("aws_session_token").map(Secret::new),
    })
}
