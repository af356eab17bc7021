//! A request made ready for its upstream: the provider's say about body and headers, base URL, address, signature.

use super::Gateway;
use super::forward::Fault;
use super::headers;
use super::refuse::GatewayError;
use super::unified::UnifiedError;
use super::upstreams::Upstream;
use crate::domain::Setting;
use crate::providers::backend::Misconfigured;
use crate::providers::{self, Call, Endpoint, Handle, IncompleteSetting, Prepare, Unsigned};
use bytes::Bytes;
use pingora::http::RequestHeader;
use std::borrow::Cow;
use std::sync::Arc;

/// Who is asked for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) provider: &'a Handle,
    pub(super) endpoint: &'a Endpoint,
    pub(super) call: &'a Call,
    pub(super) setting: &'a Setting,
    /// For the unified API, whose clients have no say in settings.
    pub(super) unified: bool,
}

/// What goes on the wire, and where.
pub(super) struct Ready {
    pub(super) upstream: Arc<Upstream>,
    pub(super) head: RequestHeader,
    pub(super) body: Bytes,
}

/// Why an attempt has no answer.
pub(super) enum Halt {
    /// Nothing was sent, or nothing that could be answered.
    Refused(GatewayError),
    Fault(Fault),
}

/// `client`: the head to start from. `length`: of a body that is still to come, else that of the body is told.
pub(super) async fn ready(
    g: &Gateway,
    asked: Asked<'_>,
    client: &RequestHeader,
    request: &Bytes,
    length: impl FnOnce(&Bytes) -> Option<u64>,
) -> Result<Ready, Halt> {
    let Asked { provider, endpoint, call, setting, unified } = asked;
    let ambient = if provider.is_ambient(setting) { g.ports.ambient.current() } else { None };
    let prepared = provider.prepare(&Prepare {
        endpoint,
        call,
        setting,
        headers: &client.headers,
        query: client.uri.query(),
        body: request,
        ambient: ambient.as_deref(),
    });
    let incomplete = |bad: IncompleteSetting| {
        Halt::Refused(if unified {
            tracing::warn!(entry = bad.entry, "what serves this model cannot be used");
            UnifiedError::Misconfigured(Misconfigured::Provider.to_string()).into()
        } else {
            GatewayError::IncompleteSetting(bad.entry)
        })
    };
    let outbound = prepared.map_err(incomplete)?;
    let configured = g.settings.base_urls.get(provider.name()).map(|url| &**url);
    let base_url = match (&outbound.base_url, configured, &outbound.public_url) {
        (Some(dictated), ..) | (None, None, Some(dictated)) => Cow::Borrowed(&**dictated),
        _ => providers::base_url(&**provider, configured, setting).map_err(incomplete)?,
    };
    let upstream = g.upstreams.find(&base_url).await.map_err(|error| {
        tracing::warn!(provider = provider.name(), %error, "no upstream");
        Halt::Fault(Fault::Connect)
    })?;
    let length = length(&outbound.body);
    let remove_user_agent = g.settings.remove_user_agent;
    let head = headers::request_head(client, endpoint, &upstream.base, &outbound, length, remove_user_agent);
    let mut head = head.map_err(|_| Halt::Refused(GatewayError::Upstream))?;
    if let Some(signer) = &outbound.signer {
        let signed = signer.sign(&Unsigned {
            method: &endpoint.method,
            host: upstream.base.host_header().to_str().unwrap_or_default(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: &head.headers,
            body: &outbound.body,
            at: g.ports.clock.now(),
        });
        headers::add(&mut head, signed.map_err(incomplete)?);
    }
    Ok(Ready { upstream, head, body: outbound.body })
}
