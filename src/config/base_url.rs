//! The base URL of an upstream: checked so far that joining a path to it is safe, and never a way to the credentials
//! of the machine we run on.

use super::value::{Fault, Raw, Sight, Value, text};
use crate::domain::address;
use std::fmt;

/// `http://` or `https://`, host, optional port and path; no credentials, query or fragment, no slash at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl(Box<str>);

impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        const NO_URL: &str = "is not a URL such as \"https://api.openai.com\"";
        let uri: http::Uri = text.parse().map_err(|_| NO_URL)?;
        let authority = uri.authority().ok_or(NO_URL)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("does not begin with http:// or https://");
        }
        if authority.as_str().contains('@') {
            return Err("has credentials in it: they belong into a provider setting");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("has a query or fragment");
        }
        if authority.host().is_empty() {
            return Err(NO_URL);
        }
        if is_metadata_host(authority.host()) {
            return Err("is a link-local or cloud metadata address");
        }
        Ok(Self(text.trim_end_matches('/').into()))
    }
}

fn is_metadata_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(ip) => address::is_metadata(ip),
        Err(_) => address::is_metadata_name(bare),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for BaseUrl {
    const SIGHT: Sight = Sight::WhenGood;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        Self::parse(text(raw).ok_or("is not text")?).map_err(str::to_owned)
    }
}
