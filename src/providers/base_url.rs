//! Where a request goes when its setting does not dictate it: the configured base URL, else the provider's own, with
//! the setting's entries where a host name has room for them.

use super::{IncompleteSetting, Provider};
use crate::domain::Setting;
use std::borrow::Cow;

/// `configured`: of the provider, by the operator.
///
/// # Errors
/// The host name has room for an entry that the setting lacks, or that is not one label of a host name.
pub fn base_url<'a>(
    provider: &dyn Provider,
    configured: Option<&'a str>,
    setting: &Setting,
) -> Result<Cow<'a, str>, IncompleteSetting> {
    let url = configured.map_or(provider.default_base_url(), |url| provider.base_url(url));
    let mut filled = Cow::Borrowed(url);
    if !url.contains('{') {
        return Ok(filled);
    }
    for &entry in provider.setting_schema().public {
        let hole = format!("{{{entry}}}");
        if filled.contains(&hole) {
            let value = setting.parameters.get(entry).filter(|value| is_host_label(value));
            filled = Cow::Owned(filled.replace(&hole, value.ok_or(IncompleteSetting { entry })?));
        }
    }
    Ok(filled)
}

/// One part of a host name: nothing that could end the host or begin another part.
pub(super) fn is_host_label(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_label_fits() {
        for good in ["a", "my-resource", "R2-d2", "0", &"x".repeat(63)] {
            assert!(is_host_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a/b", "a:1", "a@b", "a b", "a#", "a?", "ü", "a\\b", &"x".repeat(64)] {
            assert!(!is_host_label(bad), "{bad}");
        }
    }
}
