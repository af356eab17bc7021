//! A step of a route made ready: who is asked, with which credential, and the request in that upstream's form.

use super::super::Gateway;
use super::super::admit::{self, Bid, Planned};
use super::super::arrival::Arrival;
use super::super::objects;
use super::super::refuse::GatewayError;
use super::super::unified::{
    self, Around, Attempts, Composed, Embeddings, Face, Held, Resolved, Surface, UnifiedError,
};
use super::run::TryLimits;
use crate::domain::{Key, Route, Setting, SettingId, Step};
use crate::metering::Price;
use crate::providers::backend::Misconfigured;
use crate::providers::{self, Handle};
use crate::routing::{self, Pauses};
use crate::snapshot::{ServedModel, Snapshot};
use crate::wire::chat::Format;
use crate::wire::{json_edit, json_walk};
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::RequestHeader;
use std::sync::Arc;

/// What is asked of a route, whichever step serves it.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) route: Arc<Route>,
    pub(super) surface: Surface,
    pub(super) key: Arc<Key>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) body: Bytes,
    /// Of the unified API: the model row that stands for the route.
    pub(super) row: Option<Arc<ServedModel>>,
}

/// A step that can be tried.
pub(in crate::gateway) struct Leg {
    /// In the route's order.
    pub(super) index: usize,
    pub(super) planned: Planned,
    pub(super) price: Option<Price>,
    pub(super) request: Bytes,
    pub(super) head: RequestHeader,
    pub(super) around: Option<Around>,
    pub(super) dropped: Vec<String>,
    pub(super) embeddings: Option<Embeddings>,
    pub(super) attempts: Attempts,
    pub(super) limits: TryLimits,
    pub(super) health: routing::Target,
    /// Memory of what was fetched for it.
    pub(super) held: Held,
}

impl Leg {
    pub(super) fn bid(&self) -> Bid<'_> {
        Bid { planned: &self.planned, price: self.price.as_ref(), body: &self.request }
    }
}

impl Request {
    /// # Errors
    /// The caller has no credential for one of the steps: that is told at once, not when the others fail.
    pub(super) fn is_covered(&self, g: &Gateway, arrival: &Arrival) -> Result<(), GatewayError> {
        self.route.steps.iter().try_for_each(|step| match self.resolve(g, step, arrival) {
            Err(error @ GatewayError::NoSetting) => Err(error),
            _ => Ok(()),
        })
    }

    pub(super) fn step(&self, index: usize) -> Option<&Step> {
        self.route.steps.get(index)
    }

    pub(super) fn provider(&self, step: &Step) -> Option<&Handle> {
        if step.is_model_row() {
            let served = self.snapshot.models().named(&step.model)?;
            return served.backend.as_ref().ok().map(|backend| &backend.provider);
        }
        self.snapshot.custom_provider(&step.provider).or_else(|| providers::by_name(&step.provider))
    }

    /// Who could serve a step, the credential that is tried first in front.
    ///
    /// # Errors
    /// The caller has no setting for it, or the operator's rows have changed since.
    pub(super) fn resolve(&self, g: &Gateway, step: &Step, arrival: &Arrival) -> Result<Resolved, GatewayError> {
        let misconfigured = || GatewayError::from(UnifiedError::Misconfigured(Misconfigured::Provider.to_string()));
        if step.is_model_row() {
            let served = self.snapshot.models().named(&step.model).ok_or_else(misconfigured)?;
            let model = served.backend.as_ref().map_or("", |backend| &*backend.model).into();
            return Ok(Resolved::Row { served: Arc::clone(served), model });
        }
        let provider = self.provider(step).cloned().ok_or_else(misconfigured)?;
        let named = step.params.get(Step::SETTING).map(|id| {
            let setting = SettingId::parse(id).and_then(|id| self.snapshot.setting(id));
            setting.filter(|setting| *setting.provider == *step.provider).cloned().ok_or(GatewayError::NoSetting)
        });
        let mut settings = match named {
            Some(setting) => vec![setting?],
            None => admit::fitting_settings(&self.snapshot, &self.key, &step.provider)?,
        };
        settings.retain(|setting| setting.allows_model(&step.model));
        if settings.is_empty() {
            return Err(GatewayError::ModelNotAllowed);
        }
        if self.key.rotation {
            let turn = arrival.event_id.chance().checked_rem(settings.len()).unwrap_or(0);
            settings.rotate_left(turn);
            // One that does well comes first.
            let now = std::time::Instant::now();
            let well = |setting: &Arc<Setting>| g.health.is_well(routing::Target::Setting(setting.id), now);
            let first = settings.iter().position(well).unwrap_or(0);
            settings.rotate_left(first);
        } else {
            settings.truncate(1);
        }
        Ok(Resolved::Own { provider, settings, model: step.model.clone(), params: step.params.clone() })
    }

    /// The step made ready with a credential.
    ///
    /// # Errors
    /// It has no words for what is asked, or its rows and settings do not do.
    pub(super) async fn leg(
        &self,
        g: &Gateway,
        arrival: &Arrival,
        headers: &HeaderMap,
        index: usize,
        resolved: &Resolved,
    ) -> Result<Leg, GatewayError> {
        let step = self.step(index).ok_or(GatewayError::NotFound)?;
        let body = with_model(with_params(&self.body, step, &self.surface), step);
        let alias = self.row.as_ref().map(|row| &*row.row.name);
        let asked = unified::Asked {
            alias,
            resolved,
            bases: &[],
            body: &body,
            face: if self.row.is_some() { Face::Unified } else { Face::Own },
        };
        let composing = unified::compose(g, &self.snapshot, arrival, &self.surface, headers, asked);
        let Composed {
            provider,
            endpoint,
            settings,
            retries,
            row,
            request,
            head,
            around,
            dropped,
            embeddings,
            held,
            ..
        } = Box::pin(composing).await?;
        let setting = settings.first().map(Arc::clone).ok_or(GatewayError::NoSetting)?;
        let named = provider.references(&endpoint, None, &request);
        if !named.is_empty() {
            let own = std::slice::from_ref(&setting);
            Box::pin(objects::check(g, &self.key, provider.name(), own, &named)).await?;
        }
        let read = provider.read(&endpoint, &head.headers, &request);
        let call = read.map_err(|bad| GatewayError::BadRequest { message: bad.message, param: bad.param })?;
        // The step says which model it is, whatever path or body call it.
        let mut call = match &row {
            Some(_) => provider.with_setting(&call, &setting).into_owned(),
            None => call.of_step(&step.model, &setting),
        };
        if let Some(user) = embeddings.as_ref().and_then(|asked| asked.user.as_deref()) {
            call.user = user.into();
        }
        let health = health(resolved).ok_or(GatewayError::NoSetting)?;
        // A row that stands for a route has a price of its own only when it says so.
        let row = self.row.as_ref().filter(|row| row.row.is_priced()).cloned().or(row);
        let planned = Planned { key: Arc::clone(&self.key), setting, provider, endpoint, call, row };
        let price = admit::price_of(g, &planned, arrival);
        let retries = step.retries.max(retries);
        let pauses = Pauses::of(self.route.retry_strategy, step);
        Ok(Leg {
            index,
            planned,
            price,
            request,
            head,
            around,
            dropped,
            embeddings,
            attempts: Attempts::new(settings, retries, pauses),
            limits: TryLimits { timeout: step.timeout, first_byte: step.first_byte_timeout },
            health,
            held,
        })
    }
}

/// Whose health a step depends on.
pub(super) fn health(resolved: &Resolved) -> Option<routing::Target> {
    match resolved {
        Resolved::Row { served, .. } => Some(routing::Target::Row(served.row.id)),
        Resolved::Own { settings, .. } => settings.first().map(|setting| routing::Target::Setting(setting.id)),
    }
}

/// The client may leave the model out, which the step knows; forms that are translated ask for one.
fn with_model(body: Bytes, step: &Step) -> Bytes {
    if json_walk::member(&body, "model").is_some() {
        return body;
    }
    let name = serde_json::Value::from(&*step.model).to_string();
    json_edit::set(&body, "model", name.as_bytes()).map_or(body, Bytes::from)
}

/// The client's body with what the step sets in it, under the names of the client's form; a parameter that a form does
/// not have is not set.
fn with_params(body: &Bytes, step: &Step, surface: &Surface) -> Bytes {
    let Surface::Talk(form) = surface else { return body.clone() };
    let mut body = body.clone();
    for param in &step.request_params {
        let name = match (form, &*param.name) {
            (Format::Anthropic, "stop") => "stop_sequences",
            (Format::Anthropic, name @ ("max_tokens" | "temperature" | "top_p")) => name,
            (Format::OpenAiResponses, "max_tokens") => "max_output_tokens",
            (Format::OpenAiResponses, name @ ("temperature" | "top_p" | "top_logprobs")) => name,
            (Format::Anthropic | Format::OpenAiResponses, _) => continue,
            (_, name) => name,
        };
        if let Some(set) = json_edit::set(&body, name, param.value.get().as_bytes()) {
            body = set.into();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RequestParam;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn a_steps_parameters_go_over_the_clients_in_the_clients_words() {
        let param = |name: &str, value: &str| RequestParam {
            name: name.into(),
            value: RawValue::from_string(value.into()).unwrap(),
        };
        let step = Step {
            provider: "p".into(),
            model: "m".into(),
            retries: 0,
            retry_interval: None,
            timeout: Duration::from_secs(1),
            first_byte_timeout: None,
            params: BTreeMap::new(),
            request_params: vec![param("max_tokens", "5"), param("stop", r#"["a"]"#), param("seed", "7")],
            weight: None,
        };
        let set = |form, body: &'static str| {
            let body = with_params(&Bytes::from_static(body.as_bytes()), &step, &form);
            String::from_utf8(body.to_vec()).unwrap()
        };
        let chat = Surface::Talk(Format::OpenAiChat);
        assert_eq!(set(chat, r#"{"x":1,"max_tokens":9}"#), r#"{"x":1,"max_tokens":5,"stop":["a"],"seed":7}"#);
        let messages = Surface::Talk(Format::Anthropic);
        assert_eq!(set(messages, r#"{"max_tokens":9}"#), r#"{"max_tokens":5,"stop_sequences":["a"]}"#);
        assert_eq!(set(Surface::Talk(Format::OpenAiResponses), "{}"), r#"{"max_output_tokens":5}"#);
        assert_eq!(set(Surface::Embeddings, "{}"), "{}");
        let named = |body: &'static str| with_model(Bytes::from_static(body.as_bytes()), &step);
        assert_eq!((&*named("{}"), &*named(r#"{"model":"x"}"#)), (&br#"{"model":"m"}"#[..], &br#"{"model":"x"}"#[..]));
    }
}
