//! What goes upstream for a request of the unified API: who is asked, with which credential, and the body in that
//! upstream's form. A client who speaks the upstream's own form has its bytes passed on, but for the model's name.

use super::super::Gateway;
use super::super::arrival::Arrival;
use super::attempts::Attempts;
use super::embed::Embeddings;
use super::error::UnifiedError;
use super::ground::{self, Base, Grounding};
use super::pictures::{self, Held};
use super::resolve::Resolved;
use super::surface::Surface;
use super::translate::{Around, Translation};
use crate::domain::Setting;
use crate::providers::backend::{Answerer, Backend, KnowledgeBase, Misconfigured, UseCase};
use crate::providers::{ChatRoute, EmbeddingRoute, Endpoint, Handle, StepOperation};
use crate::routing::Pauses;
use crate::snapshot::{ServedModel, Snapshot};
use crate::wire::chat::knowledge::Knowledge;
use crate::wire::chat::{self, BadRequest, Format, Reasoning, Target, Unsupported};
use crate::wire::{embeddings, json_edit, json_walk};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora::http::RequestHeader;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request that is ready to be admitted.
pub(in crate::gateway) struct Composed {
    pub(in crate::gateway) provider: Handle,
    pub(in crate::gateway) endpoint: Endpoint,
    /// All that may be tried, the first one first.
    pub(in crate::gateway) settings: Vec<Arc<Setting>>,
    /// How often, after the first time.
    pub(in crate::gateway) retries: u32,
    pub(in crate::gateway) row: Option<Arc<ServedModel>>,
    /// The body for the upstream.
    pub(in crate::gateway) request: Bytes,
    /// In place of the client's own head.
    pub(in crate::gateway) head: RequestHeader,
    /// `None`: the answer passes as it is.
    pub(in crate::gateway) around: Option<Around>,
    pub(in crate::gateway) dropped: Vec<String>,
    /// Several calls in place of one exchange.
    pub(in crate::gateway) embeddings: Option<Embeddings>,
    /// Passages are to be looked up before it is sent.
    pub(super) grounding: Option<Grounding>,
    /// Memory of what was fetched for it.
    pub(in crate::gateway) held: Held,
    /// Goes on in this session of the service, which must be the caller's own.
    pub(super) session: Option<Box<str>>,
}

/// Bodies from here on are translated aside, bytes.
const LONG_BODY: usize = 512 * 1024;

/// A long conversation takes milliseconds to read and to write anew: others on this thread go on elsewhere meanwhile.
fn at_leisure<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > LONG_BODY { tokio::task::block_in_place(work) } else { work() }
}

/// Longest budget for thinking that a header may ask for, tokens.
const MOST_THINKING: u64 = 1_000_000;

/// What of a client's head goes to an upstream of its own dialect; to another, only who it is.
const KEPT: [HeaderName; 5] = [
    USER_AGENT,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("idempotency-key"),
];

/// What is asked of whom.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Asked<'a> {
    /// What answers call the model; `None` = as the upstream does.
    pub(in crate::gateway) alias: Option<&'a str>,
    pub(in crate::gateway) resolved: &'a Resolved,
    /// Rows whose knowledge is looked up first.
    pub(in crate::gateway) bases: &'a [Arc<ServedModel>],
    pub(in crate::gateway) body: &'a Bytes,
    pub(in crate::gateway) face: Face,
}

/// Whose clients are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gateway) enum Face {
    /// The unified API's, which has errors of its own.
    Unified,
    /// Those of the form they speak.
    Own,
}

pub(in crate::gateway) async fn compose(
    g: &Gateway,
    snapshot: &Snapshot,
    arrival: &Arrival,
    surface: &Surface,
    headers: &HeaderMap,
    asked: Asked<'_>,
) -> Result<Composed, UnifiedError> {
    let Asked { alias, resolved, bases, body, face } = asked;
    let model = resolved.model();
    let none = BTreeMap::new();
    let params = if let Resolved::Own { params, .. } = resolved { params } else { &none };
    let (provider, settings, retries, target, row) = match resolved {
        Resolved::Row { served, .. } => {
            let backend = served.backend.as_ref().map_err(misconfigured)?;
            let fits = match backend.use_case {
                UseCase::Chat => true,
                UseCase::Embeddings => *surface == Surface::Embeddings,
                UseCase::KnowledgeBase => matches!(surface, Surface::Talk(_)),
            };
            if !fits || (!bases.is_empty() && !matches!(surface, Surface::Talk(_))) {
                return Err(unfit(surface));
            }
            let settings = settings(g, snapshot, arrival, backend)?;
            let target = Target { knowledge: knowledge(backend, headers), ..backend.target(model) };
            (&backend.provider, settings, backend.max_retries, target, Some(served))
        }
        Resolved::Own { provider, settings, .. } => (provider, settings.clone(), 0, provider.target(model), None),
    };
    if model.is_empty() {
        return Err(misconfigured(&Misconfigured::Missing("model")));
    }
    let unsupported = if g.settings.refuse_unsupported { Unsupported::Refuse } else { Unsupported::Drop };
    let target = Target { unsupported, images: row.is_none_or(|served| served.row.multiple), ..target };
    let composed = match surface {
        Surface::Talk(client) => {
            let asked_reasoning = row.and_then(|served| served.backend.as_ref().ok()?.reasoning);
            let talk = Talk {
                g,
                client: *client,
                provider,
                params,
                target: &target,
                headers,
                reasoning: asked_reasoning,
                alias,
                bases: bases.len(),
                arrival,
                face,
            };
            let mut written = talk.compose(body).await?;
            if let Some(grounding) = &mut written.grounding {
                let found = bases.iter().map(|served| base(g, snapshot, arrival, served));
                grounding.bases = found.collect::<Result<_, _>>()?;
            }
            written
        }
        Surface::Embeddings => match route_of_embeddings(provider, row, model) {
            Some(route) => at_leisure(body.len(), || embeddings(provider, route, row, &target, body))?,
            None => {
                let route = provider.step(params, StepOperation::Embeddings, model, false);
                as_it_is(provider, surface, route, model, body)?
            }
        },
        _ => {
            // Only who speaks OpenAI's own operations has them under these names.
            let speaks = provider.chat(Format::OpenAiChat, model, false);
            let speaks = speaks.is_some_and(|route| route.format == Format::OpenAiChat);
            let route = speaks.then(|| ChatRoute::new(Format::OpenAiChat, surface.template()));
            as_it_is(provider, surface, route, model, body)?
        }
    };
    let Written { endpoint, query, request, around, dropped, embeddings, grounding, held } = composed;
    if settings.is_empty() {
        return Err(misconfigured(&Misconfigured::Provider));
    }
    let head = head(headers, &query, embeddings.is_some() || matches!(around, Some(Around::Translated(_))))
        .ok_or_else(|| misconfigured(&Misconfigured::Provider))?;
    Ok(Composed {
        provider: provider.clone(),
        endpoint,
        settings,
        retries,
        row: row.cloned(),
        request,
        head,
        around,
        dropped,
        embeddings,
        grounding,
        held,
        session: target.knowledge.and_then(|knowledge| knowledge.session),
    })
}

struct Written {
    endpoint: Endpoint,
    query: Cow<'static, str>,
    request: Bytes,
    around: Option<Around>,
    dropped: Vec<String>,
    embeddings: Option<Embeddings>,
    grounding: Option<Grounding>,
    held: Held,
}

impl Written {
    /// The client's own form.
    fn same(endpoint: Endpoint, query: Cow<'static, str>, request: Bytes) -> Self {
        Self {
            endpoint,
            query,
            request,
            around: None,
            dropped: Vec::new(),
            embeddings: None,
            grounding: None,
            held: Held::new(),
        }
    }
}

/// A conversation on its way into the upstream's form.
struct Talk<'a> {
    g: &'a Gateway,
    /// Rows whose passages come before the question.
    bases: usize,
    client: Format,
    provider: &'a Handle,
    /// What a route's step says beside the model.
    params: &'a BTreeMap<Box<str>, Box<str>>,
    target: &'a Target,
    headers: &'a HeaderMap,
    /// What the row asks for when the client does not.
    reasoning: Option<Reasoning>,
    /// The name of a row, which answers go by.
    alias: Option<&'a str>,
    arrival: &'a Arrival,
    face: Face,
}

impl Talk<'_> {
    async fn compose(&self, body: &Bytes) -> Result<Written, UnifiedError> {
        let stream = json_walk::member(body, "stream").is_some_and(|m| m.value == b"true");
        let route = match &self.target.knowledge {
            Some(_) => self.provider.knowledge(stream).map(|path| ChatRoute::new(Format::Knowledge, path)),
            None => self.provider.step(self.params, StepOperation::Chat(self.client), &self.target.model, stream),
        };
        let route = route.ok_or_else(|| misconfigured(&Misconfigured::Provider))?;
        let endpoint = endpoint(self.provider, &route)?;
        let thinks = self.headers.contains_key(THINK_BUDGET) || self.reasoning.is_some();
        if route.format == self.client && !thinks && self.bases == 0 {
            let mut request = renamed(self.provider, &endpoint, body, &self.target.model)?;
            if self.client == Format::OpenAiResponses {
                request = stateless(&request)?;
            }
            // What the row says of pictures holds for bytes that nobody reads, too.
            if !self.target.images && chat::read_request(self.client, body).is_ok_and(|request| request.has_images()) {
                return Err(no_images());
            }
            // Who speaks this form may be a server of the operator's own, which fetches what it is told to.
            if matches!(route.format, Format::OpenAiChat | Format::OpenAiResponses) && pictures::names_inside(body) {
                return Err(pictures::inside());
            }
            let around = self.alias.map(|name| Around::Renamed(name.into()));
            return Ok(Written { around, ..Written::same(endpoint, route.query, request) });
        }
        let mut request = at_leisure(body.len(), || chat::read_request(self.client, body)).map_err(bad)?;
        if !self.target.images && request.has_images() {
            return Err(no_images());
        }
        let question = if self.bases > 0 { Some(chat::knowledge::question(&request).map_err(bad)?) } else { None };
        let held = pictures::provide(self.g, route.format, &mut request).await?;
        request.reasoning = request.reasoning.or(self.think_budget()).or(self.reasoning);
        let (format, target) = (route.format, self.target);
        let written = at_leisure(body.len(), || match &question {
            Some(_) => chat::write_request(format, &ground::at_most(&request, self.bases)?, target),
            None => chat::write_request(format, &request, target),
        });
        let written = written.map_err(bad)?;
        let asked = chat::Asked {
            failed_choice: self.face == Face::Unified,
            echo: chat::echo(self.client, body),
            ..chat::Asked::of(
                &request,
                self.arrival.now.seconds(),
                self.arrival.event_id.as_uuid().simple().to_string(),
            )
        };
        let translation = Translation {
            upstream: route.format,
            client: self.client,
            asked,
            answer_tool: written.answer_tool,
            stream: request.stream,
            sources: Vec::new(),
            prose: request.output.is_none(),
            face: self.face,
        };
        let grounding =
            question.map(|question| Grounding { bases: Vec::new(), question, request, format, target: target.clone() });
        Ok(Written {
            endpoint,
            query: route.query,
            request: written.body.into(),
            around: Some(Around::Translated(Box::new(translation))),
            dropped: written.dropped,
            embeddings: None,
            grounding,
            held,
        })
    }

    /// Some clients say it in a header.
    fn think_budget(&self) -> Option<Reasoning> {
        let tokens: u64 = self.headers.get(THINK_BUDGET)?.to_str().ok()?.trim().parse().ok()?;
        Some(Reasoning::Budget(tokens.clamp(1024, MOST_THINKING)))
    }
}

const THINK_BUDGET: HeaderName = HeaderName::from_static("think-budget");

/// A client goes on in a session by this header, and is told of it by the same.
pub(super) const SESSION: HeaderName = HeaderName::from_static("x-tollgate-session-id");

/// Of a row that answers by itself.
fn knowledge(backend: &Backend, headers: &HeaderMap) -> Option<Knowledge> {
    let KnowledgeBase { id, answerer: Answerer::Arn(arn) } = backend.knowledge.as_ref()? else { return None };
    let session = headers.get(SESSION).and_then(|id| id.to_str().ok()).filter(|id| chat::knowledge::is_session(id));
    Some(Knowledge { id: id.clone(), model_arn: arn.clone(), session: session.map(Into::into) })
}

/// Where a row's passages are looked up.
fn base(g: &Gateway, snapshot: &Snapshot, arrival: &Arrival, served: &ServedModel) -> Result<Base, UnifiedError> {
    let backend = served.backend.as_ref().map_err(misconfigured)?;
    let lacks = || misconfigured(&Misconfigured::Missing("knowledgeBaseId"));
    let path = backend.knowledge.as_ref().and_then(|base| backend.provider.retrieval(&base.id)).ok_or_else(lacks)?;
    let endpoint = backend.provider.endpoint(&Method::POST, &path).ok_or_else(lacks)?;
    let settings = settings(g, snapshot, arrival, backend)?;
    let setting = settings.first().map(Arc::clone).ok_or_else(lacks)?;
    let attempts = Attempts::new(settings, backend.max_retries, Pauses::ROW);
    Ok(Base { provider: backend.provider.clone(), endpoint, setting, attempts })
}

/// Operations that are not translated: the upstream must have them itself.
fn as_it_is(
    provider: &Handle,
    surface: &Surface,
    route: Option<ChatRoute>,
    model: &str,
    body: &Bytes,
) -> Result<Written, UnifiedError> {
    let route = route.ok_or_else(|| unfit(surface))?;
    let endpoint = provider.endpoint(&Method::POST, &route.path).ok_or_else(|| unfit(surface))?;
    let request = renamed(provider, &endpoint, body, model)?;
    Ok(Written::same(endpoint, route.query, request))
}

/// How vectors are asked for where that is not OpenAI's form.
fn route_of_embeddings(provider: &Handle, row: Option<&Arc<ServedModel>>, model: &str) -> Option<EmbeddingRoute> {
    match row.and_then(|served| served.backend.as_ref().ok()) {
        Some(backend) => backend.embeddings(model),
        None => provider.embeddings(model, model),
    }
}

/// Texts for vectors, in as many calls as the upstream's form takes.
fn embeddings(
    provider: &Handle,
    route: EmbeddingRoute,
    row: Option<&Arc<ServedModel>>,
    target: &Target,
    body: &Bytes,
) -> Result<Written, UnifiedError> {
    let EmbeddingRoute { format, path, sizes } = route;
    let request = embeddings::read_request(body).map_err(bad)?;
    let own = row.and_then(|served| served.backend.as_ref().ok()).map(|backend| backend.embedding);
    let own = own.unwrap_or_default();
    let target = embeddings::Target {
        model: target.model.clone(),
        sizes,
        dimensions: own.dimensions,
        normalize: own.normalize,
        unsupported: target.unsupported,
    };
    let written = embeddings::write_request(format, &request, &target).map_err(bad)?;
    let endpoint = provider.endpoint(&Method::POST, &path);
    let errors = provider.chat(Format::OpenAiChat, &target.model, false).map_or(Format::OpenAiChat, |c| c.format);
    Ok(Written {
        endpoint: endpoint.ok_or_else(|| misconfigured(&Misconfigured::Missing("modelId")))?,
        query: Cow::Borrowed(""),
        request: written.whole,
        around: None,
        dropped: written.dropped,
        embeddings: Some(Embeddings {
            format,
            bodies: written.bodies,
            texts: request.inputs.len(),
            errors,
            model: request.model,
            base64: request.base64,
            user: request.user,
        }),
        grounding: None,
        held: Held::new(),
    })
}

fn endpoint(provider: &Handle, route: &ChatRoute) -> Result<Endpoint, UnifiedError> {
    provider.endpoint(&Method::POST, &route.path).ok_or_else(|| misconfigured(&Misconfigured::Missing("modelId")))
}

/// A request that neither needs nor leaves anything at the upstream: there, everything would be everybody's.
fn stateless(body: &Bytes) -> Result<Bytes, UnifiedError> {
    for name in ["previous_response_id", "conversation", "prompt", "background"] {
        let given = json_walk::members(body).any(|m| m.is(name) && !matches!(m.value, b"null" | b"false"));
        if given {
            let message = format!("This API keeps nothing: {name} cannot be used.");
            return Err(bad(BadRequest::unsupported(name, message)));
        }
    }
    json_edit::set(body, "store", b"false")
        .map(Bytes::from)
        .ok_or_else(|| bad(BadRequest::of("store", "The body must be a JSON object.")))
}

/// The body with the upstream's name of the model.
fn renamed(provider: &Handle, endpoint: &Endpoint, body: &Bytes, model: &str) -> Result<Bytes, UnifiedError> {
    let renamed = provider.with_model(endpoint, body, model);
    renamed.ok_or_else(|| bad(BadRequest::of("model", "The body must be a JSON object.")))
}

/// All that may be tried, beginning with one by chance.
fn settings(
    g: &Gateway,
    snapshot: &Snapshot,
    arrival: &Arrival,
    backend: &Backend,
) -> Result<Vec<Arc<Setting>>, UnifiedError> {
    if let Some(id) = backend.setting {
        let setting = snapshot.setting(id).filter(|setting| *setting.provider == *backend.provider.name());
        return setting.cloned().map(|s| vec![s]).ok_or_else(|| misconfigured(&Misconfigured::Missing("settingId")));
    }
    let chance = arrival.event_id.chance();
    let many = backend.settings.len();
    Ok((0..many).filter_map(|turn| backend.attempt(chance.wrapping_add(turn), &g.settings.aws_region)).collect())
}

/// The head that goes upstream. A client's headers mean nothing to an upstream that it does not know of.
fn head(client: &HeaderMap, query: &str, translated: bool) -> Option<RequestHeader> {
    let target = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
    let mut head = RequestHeader::build_no_case(Method::POST, target.as_bytes(), Some(4)).ok()?;
    for name in KEPT.iter().filter(|name| !translated || **name == USER_AGENT) {
        for value in client.get_all(name) {
            head.append_header(name.clone(), value.clone()).ok()?;
        }
    }
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/json")).ok()?;
    if let Some(accept) = client.get(ACCEPT).filter(|_| !translated) {
        head.insert_header(ACCEPT, accept.clone()).ok()?;
    }
    Some(head)
}

fn bad(error: BadRequest) -> UnifiedError {
    UnifiedError::BadRequest { message: error.message, param: error.param, code: error.code }
}

fn misconfigured(error: &Misconfigured) -> UnifiedError {
    UnifiedError::Misconfigured(error.to_string())
}

fn no_images() -> UnifiedError {
    bad(BadRequest::of("messages", "This model does not support images."))
}

pub(super) fn unfit(surface: &Surface) -> UnifiedError {
    let what = match surface {
        Surface::Embeddings => "embeddings",
        Surface::Images => "image generation",
        _ => "conversations",
    };
    bad(BadRequest::of("model", format!("This model does not serve {what}.")))
}
