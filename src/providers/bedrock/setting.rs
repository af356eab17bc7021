//! What a setting says: which credential signs, and where requests go.

use super::sign::SigV4;
use crate::domain::Setting;
use crate::providers::{AmbientCredentials, IncompleteSetting, SettingSchema};
use http::HeaderValue;

pub(super) const SCHEMA: SettingSchema = SettingSchema {
    required: &["awsRegion"],
    optional: &["awsAccessKeyId", "awsSecretAccessKey", "awsSessionToken", "bearerToken", "baseUrl"],
    public: &["awsRegion", "awsAccessKeyId", "baseUrl"],
};

/// How a request is authorised.
#[derive(Debug)]
pub(super) enum Credential {
    /// The value of `authorization`, marked sensitive.
    Bearer(HeaderValue),
    Keys(SigV4),
}

/// The bearer token, else the keys, else what the host itself is given.
pub(super) fn credential(
    setting: &Setting,
    ambient: Option<&AmbientCredentials>,
) -> Result<Credential, IncompleteSetting> {
    if let Some(token) = setting.secrets.get("bearerToken").filter(|token| !token.is_empty()) {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| IncompleteSetting { entry: "bearerToken" })?;
        value.set_sensitive(true);
        return Ok(Credential::Bearer(value));
    }
    let region = region(setting)?.into();
    let id = setting.parameters.get("awsAccessKeyId").filter(|id| !id.is_empty());
    let secret = setting.secrets.get("awsSecretAccessKey").filter(|secret| !secret.is_empty());
    let keys = match (id, secret) {
        (Some(id), Some(secret)) => SigV4 {
            access_key_id: id.clone(),
            secret: secret.clone(),
            session_token: setting.secrets.get("awsSessionToken").filter(|token| !token.is_empty()).cloned(),
            region,
        },
        (None, None) => {
            let ambient = ambient.ok_or(IncompleteSetting { entry: "awsAccessKeyId" })?;
            SigV4 {
                access_key_id: ambient.access_key_id.clone(),
                secret: ambient.secret_access_key.clone(),
                session_token: ambient.session_token.clone(),
                region,
            }
        }
        // Half a pair is a mistake, not a wish for somebody else's credentials.
        (Some(_), None) => return Err(IncompleteSetting { entry: "awsSecretAccessKey" }),
        (None, Some(_)) => return Err(IncompleteSetting { entry: "awsAccessKeyId" }),
    };
    Ok(Credential::Keys(keys))
}

/// Has no credential of its own.
pub(super) fn is_ambient(setting: &Setting) -> bool {
    !setting.parameters.contains_key("awsAccessKeyId")
        && ["awsSecretAccessKey", "bearerToken"].iter().all(|entry| !setting.secrets.contains_key(*entry))
}

/// A region becomes part of a host name, so it is looked at.
fn region(setting: &Setting) -> Result<&str, IncompleteSetting> {
    let sound = |region: &&str| {
        (1..=40).contains(&region.len())
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let region = setting.parameters.get("awsRegion").map(|region| &**region);
    region.filter(sound).ok_or(IncompleteSetting { entry: "awsRegion" })
}

/// The public base URL of a region.
pub(super) fn public_url(setting: &Setting, agents: bool) -> Result<String, IncompleteSetting> {
    let region = region(setting)?;
    let domain = match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    let service = if agents { "bedrock-agent-runtime" } else { "bedrock-runtime" };
    Ok(format!("https://{service}.{region}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;
    use crate::providers::bedrock::tests::setting;

    fn keys(entries: &[(&str, &str)], ambient: Option<&AmbientCredentials>) -> Result<String, &'static str> {
        match credential(&setting(entries), ambient) {
            Ok(Credential::Keys(keys)) => Ok(keys.access_key_id.into()),
            Ok(Credential::Bearer(value)) => Ok(value.to_str().expect("text").to_owned()),
            Err(incomplete) => Err(incomplete.entry),
        }
    }

    #[test]
    fn a_bearer_token_goes_before_keys_and_those_before_the_hosts() {
        let host = AmbientCredentials {
            access_key_id: "HOST".into(),
            secret_access_key: Secret::new("s"),
            session_token: None,
        };
        let region = ("awsRegion", "us-east-1");
        let (id, secret) = (("awsAccessKeyId", "AKID"), ("awsSecretAccessKey", "s"));
        for (entries, expected) in [
            (&[region, id, secret, ("bearerToken", "t")][..], Ok("Bearer t")),
            (&[region, id, secret], Ok("AKID")),
            (&[region], Ok("HOST")),
            (&[region, id], Err("awsSecretAccessKey")),
            (&[region, secret], Err("awsAccessKeyId")),
            (&[id, secret], Err("awsRegion")),
            (&[id, secret, ("awsRegion", "us-east-1.evil.example/")], Err("awsRegion")),
            (&[region, ("bearerToken", "line\nbreak")], Err("bearerToken")),
        ] {
            assert_eq!(keys(entries, Some(&host)), expected.map(str::to_owned), "{entries:?}");
        }
        assert_eq!(keys(&[region], None), Err("awsAccessKeyId"));
        assert!(is_ambient(&setting(&[region])) && !is_ambient(&setting(&[region, id])));
        assert!(!is_ambient(&setting(&[region, ("bearerToken", "t")])));
    }

    #[test]
    fn each_partition_has_its_domain() {
        for (region, agents, url) in [
            ("us-east-1", false, "https://bedrock-runtime.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, "https://bedrock-agent-runtime.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", false, "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(public_url(&setting(&[("awsRegion", region)]), agents).as_deref(), Ok(url));
        }
    }
}
