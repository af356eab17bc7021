//! Where credentials may come from, in the order in which AWS's own tools look.

use super::Variables;
use super::http::{self, Request};
use super::profile;
use crate::domain::{Secret, UnixMillis};
use crate::providers::AmbientCredentials;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Found {
    pub(super) credentials: AmbientCredentials,
    /// `None` = they do not expire.
    pub(super) expiration: Option<UnixMillis>,
    pub(super) from: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("profile {0} is not in the credentials file")]
    NoProfile(String),
    #[error("the address of the container's credentials is not one of those that are trusted")]
    Address,
    #[error("the file with the container's token cannot be read")]
    Token(#[source] std::io::Error),
    #[error("the service for credentials: {0}")]
    Http(#[from] http::HttpError),
    #[error("the service for credentials answered {0}")]
    Status(u16),
    #[error("the service for credentials did not answer in its usual form")]
    Form,
    #[error("neither environment, profile, container nor instance has any")]
    Nothing,
}

pub(super) async fn find(variables: &Variables) -> Result<Found, SourceError> {
    if let (Some(id), Some(secret)) = (variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")) {
        let credentials = AmbientCredentials {
            access_key_id: id.into(),
            secret_access_key: Secret::new(secret),
            session_token: variables.get("AWS_SESSION_TOKEN").map(Secret::new),
        };
        return Ok(Found { credentials, expiration: None, from: "environment" });
    }
    if let Some(credentials) = of_profile(variables).await? {
        return Ok(Found { credentials, expiration: None, from: "profile" });
    }
    if let Some(found) = of_container(variables).await? {
        return Ok(found);
    }
    let off = variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if off { Err(SourceError::Nothing) } else { of_instance(variables).await }
}

/// `None` when no profile was named and there is no default one.
async fn of_profile(variables: &Variables) -> Result<Option<AmbientCredentials>, SourceError> {
    let home = variables.get("HOME").or_else(|| variables.get("USERPROFILE")).map(Path::new);
    let file = |variable, name| -> Option<PathBuf> {
        variables.get(variable).map(PathBuf::from).or_else(|| Some(home?.join(".aws").join(name)))
    };
    let wanted = variables.get("AWS_PROFILE");
    let name = wanted.unwrap_or("default");
    for (path, section) in [
        (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name.to_owned()),
        (
            file("AWS_CONFIG_FILE", "config"),
            if name == "default" { name.to_owned() } else { format!("profile {name}") },
        ),
    ] {
        let Some(path) = path else { continue };
        let Ok(text) = tokio::fs::read_to_string(&path).await else { continue };
        if let Some(credentials) = profile::credentials(&text, &section) {
            return Ok(Some(credentials));
        }
    }
    match wanted {
        Some(name) => Err(SourceError::NoProfile(name.to_owned())),
        None => Ok(None),
    }
}

/// ECS, EKS and whatever else speaks their protocol.
async fn of_container(variables: &Variables) -> Result<Option<Found>, SourceError> {
    let relative = variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = match (relative, variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        (Some(path), _) => format!("http://169.254.170.2{path}"),
        (None, Some(url)) => url.to_owned(),
        (None, None) => return Ok(None),
    };
    let token = match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        // It is replaced from time to time.
        Some(path) => Some(tokio::fs::read_to_string(path).await.map_err(SourceError::Token)?),
        None => variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
    };
    if !is_trusted(&url) {
        return Err(SourceError::Address);
    }
    let headers: Vec<_> = token.as_deref().map(|token| ("authorization", token.trim())).into_iter().collect();
    let answer = fetch(&Request { method: "GET", url: &url, headers: &headers }).await?;
    parse(&answer, "container").map(Some)
}

/// A secret token is sent there: only to this machine and to the agents of the platform.
fn is_trusted(url: &str) -> bool {
    const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
    let Ok(uri) = url.parse::<::http::Uri>() else { return false };
    let Some(host) = uri.host().filter(|_| uri.scheme_str() == Some("http")) else { return false };
    let loopback = host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    loopback || host == "localhost" || AGENTS.contains(&host)
}

/// The instance's role, by the second version of its metadata service: a token first.
async fn of_instance(variables: &Variables) -> Result<Found, SourceError> {
    let base = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
    let base = base.trim_end_matches('/');
    let url = |path: &str| format!("{base}/latest/{path}");
    let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
    let token = fetch(&Request { method: "PUT", url: &url("api/token"), headers: &lifetime }).await?;
    let token = String::from_utf8(token).map_err(|_| SourceError::Form)?;
    let headers = [("x-aws-ec2-metadata-token", token.trim())];
    let roles = url("meta-data/iam/security-credentials/");
    let answer = fetch(&Request { method: "GET", url: &roles, headers: &headers }).await?;
    let role = std::str::from_utf8(&answer).ok().and_then(|text| text.lines().next()).map(str::trim);
    let role = role.filter(|role| !role.is_empty()).ok_or(SourceError::Form)?;
    let answer = fetch(&Request { method: "GET", url: &format!("{roles}{role}"), headers: &headers }).await?;
    parse(&answer, "instance")
}

async fn fetch(request: &Request<'_>) -> Result<Vec<u8>, SourceError> {
    match http::fetch(request).await? {
        (200, body) => Ok(body),
        (status, _) => Err(SourceError::Status(status)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: Box<str>,
    secret_access_key: Box<str>,
    token: Option<Box<str>>,
    expiration: Option<Box<str>>,
}

fn parse(body: &[u8], from: &'static str) -> Result<Found, SourceError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| SourceError::Form)?;
    let expiration = answer.expiration.as_deref().map(|text| UnixMillis::parse_rfc3339(text).ok_or(SourceError::Form));
    let credentials = AmbientCredentials {
        access_key_id: answer.access_key_id,
        secret_access_key: Secret::new(answer.secret_access_key),
        session_token: answer.token.map(Secret::new),
    };
    Ok(Found { credentials, expiration: expiration.transpose()?, from })
}
