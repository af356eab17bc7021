//! What each provider speaks. One folder per provider behind one small, pure trait; no file outside names a provider.

use crate::domain::{MadeObject, Secret, Setting, UnixMillis, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use crate::wire::{embeddings, json_edit};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

pub mod anthropic;
pub mod azure;
pub mod backend;
mod base_url;
pub mod bedrock;
mod claude;
mod compatible;
pub mod custom;
pub mod deepinfra;
pub mod first_models;
pub mod gemini;
mod kept;
pub mod ollama;
mod open_models;
pub mod openai;
mod passing;
mod path;
mod price;
pub mod purpose;
mod step;
#[cfg(test)]
mod suite;
mod sums;
pub mod vllm;

pub use base_url::base_url;
pub use path::percent_decoded;
pub use price::{price, row_price};
pub use step::StepOperation;

/// The error shapes clients understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// `{"error":{message,type,param,code}}`
    OpenAi,
    /// `{"type":"error","error":{type,message}}`
    Anthropic,
    /// `{"message":...}` and the header `x-amzn-errortype`
    Aws,
    /// `{"success":false,"data":text,"error":{message,type,code,param}}`, of the unified API
    Unified,
    /// `{"error":{code,message,status}}`
    Google,
    /// `{"error":...}`
    Ollama,
}

/// Which entries a setting of a provider has.
#[derive(Clone, Copy, Debug)]
pub struct SettingSchema {
    /// Must be present and non-empty.
    pub required: &'static [&'static str],
    pub optional: &'static [&'static str],
    /// Of all entries, those that an API may show.
    pub public: &'static [&'static str],
}

/// One operation of a provider's API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Path template below the provider's base, such as `/v1/threads/{thread_id}`: a label of bounded cardinality.
    pub template: &'static str,
    /// Method sent upstream; differs from the client's only where an alias is documented.
    pub method: Method,
    /// Path sent upstream, below the base URL, without the query.
    pub path: Box<str>,
    /// The provider's own number for how this endpoint is read and metered.
    pub kind: u8,
    /// The body is JSON: anything else is a 400.
    pub json_body: bool,
    pub billing: Billing,
}

/// How the cost of an endpoint comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Billing {
    /// Costs nothing: administration and reading.
    Free,
    /// By the usage that its answers report.
    Usage,
    /// The answer only acknowledges: what the work consumes is told by a later one ([`Reading::charges`]).
    Later,
    /// Costs something that is not known here: served with cost 0, flagged, and refused to keys with a budget.
    Unpriced,
}

/// What rules and prices need to know of a request body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// Empty when the body names none.
    pub model: Box<str>,
    pub stream: bool,
    /// End user named in the body.
    pub user: Box<str>,
    /// The request's own maximum of output tokens for one choice.
    pub max_output: Option<u64>,
    /// Another name that this call gives the model, such as a deployment: a setting may permit either. Empty = none.
    pub alias: Box<str>,
    /// Choices asked for (`n`, `best_of`), at least 1.
    pub choices: u64,
    /// The client itself asked for usage in the stream.
    pub wants_usage: bool,
    /// As [`Billing::Later`], because of what the body asks for.
    pub deferred: bool,
    /// What is asked for tells the consumption of this object.
    pub charged_as: Option<Box<str>>,
    /// Models beside the first that the body sets to work: each must be allowed.
    pub more_models: Box<[Box<str>]>,
    /// A context beyond the model's usual one is switched on.
    pub long_context: bool,
    /// The service tier asked for, where a header may name it. Empty = none.
    pub tier: Box<str>,
    /// Of requests for or with pictures and sound.
    pub media: Option<Box<Media>>,
}

/// What the price of pictures and sound hangs on, as far as the request says it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Media {
    /// Of the pictures asked for, such as `1024x1024`; empty = not said. So is `quality`.
    pub size: Box<str>,
    pub quality: Box<str>,
    /// Unfinished pictures asked for, of each one.
    pub partial_images: u64,
    /// Form of the answer that was asked for: `srt`, `pcm`.
    pub format: Box<str>,
    /// Text to be spoken, in Unicode scalar values.
    pub characters: u64,
    /// Bytes of the instructions.
    pub prompt_bytes: u64,
    /// Pictures that were sent along.
    pub pictures: u64,
    /// How long the recording that was sent along plays, by its container or, without one, by its bytes.
    pub audio_millis: u64,
    /// The recording is cut by the provider: what is billed may be more than it plays.
    pub chunked: bool,
}

/// A body that cannot be served. `param` names the field when one is at fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadCall {
    pub message: String,
    pub param: Option<&'static str>,
}

/// What a request is prepared from.
#[derive(Clone, Copy, Debug)]
pub struct Prepare<'a> {
    pub endpoint: &'a Endpoint,
    pub call: &'a Call,
    pub setting: &'a Setting,
    /// The client's own.
    pub headers: &'a HeaderMap,
    /// The client's own, without the question mark.
    pub query: Option<&'a str>,
    pub body: &'a Bytes,
    /// What the host itself is given, for settings without a credential.
    pub ambient: Option<&'a AmbientCredentials>,
}

/// Credentials that the host has from its environment, profile, container or instance. They expire and are renewed
/// in the background.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AmbientCredentials {
    pub access_key_id: Box<str>,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

/// Whoever keeps the host's credentials at hand.
pub trait Ambient: Send + Sync + fmt::Debug {
    /// The latest, without waiting; `None` when the host has none, or none yet.
    fn current(&self) -> Option<Arc<AmbientCredentials>>;
}

/// What goes upstream. The gateway adds hygiene (hop-by-hop, host, length, encoding) to the client's headers.
#[derive(Debug, Default)]
pub struct Outbound {
    /// The client's own bytes wherever no rule needs a change.
    pub body: Bytes,
    /// Set over whatever the client sent; credentials among them are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Base URL when the setting or provider dictates one; else the configured one.
    pub base_url: Option<Box<str>>,
    /// In place of the provider's default base URL, where the setting decides it; a configured one goes before it.
    pub public_url: Option<Box<str>>,
    /// Path below the base URL where the body or the setting decides it; else the endpoint's.
    pub path: Option<Box<str>>,
    /// In place of the client's query; empty = none.
    pub query: Option<Box<str>>,
    /// Makes the last headers, of everything that is sent.
    pub signer: Option<Box<dyn Signer>>,
}

/// Signs a request whose every byte is known.
pub trait Signer: Send + Sync + fmt::Debug {
    /// Headers to add, credentials among them marked sensitive.
    ///
    /// # Errors
    /// The credential cannot sign.
    fn sign(&self, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, IncompleteSetting>;
}

/// A request as it will be on the wire, but for its signature.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    pub method: &'a Method,
    /// Value of the `host` header.
    pub host: &'a str,
    /// Path and query exactly as sent.
    pub target: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub at: UnixMillis,
}

/// The setting lacks what the provider needs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the provider setting has no usable {entry}")]
pub struct IncompleteSetting {
    pub entry: &'static str,
}

/// Where and in which form a provider takes a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatRoute {
    pub format: Format,
    /// As [`Provider::endpoint`] takes it.
    pub path: String,
    /// Without the question mark; empty = none.
    pub query: Cow<'static, str>,
}

impl ChatRoute {
    pub fn new(format: Format, path: impl Into<String>) -> Self {
        Self { format, path: path.into(), query: Cow::Borrowed("") }
    }
}

/// Where and in which form of its own a provider takes texts that are to become vectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbeddingRoute {
    pub format: embeddings::Format,
    /// As [`Provider::endpoint`] takes it.
    pub path: String,
    /// The length of the vectors can be chosen.
    pub sizes: bool,
}

pub trait Provider: Send + Sync + fmt::Debug {
    /// Lower-case name: path segment, setting's `provider`, event's `provider`, price table.
    fn name(&self) -> &str;
    /// The same for metrics, where names that operators make up share one.
    fn label(&self) -> &'static str;
    /// What its clients understand, where the endpoint is known.
    fn dialect(&self, endpoint: &Endpoint) -> Dialect;
    /// What they understand on a path that is no endpoint.
    fn unknown_dialect(&self) -> Dialect {
        Dialect::OpenAi
    }
    /// Scheme, host and fixed prefix of the public API. `{entry}` in the host stands for a public entry of the setting.
    fn default_base_url(&self) -> &'static str;
    /// A base URL from a configuration, in the form that an endpoint's path is appended to.
    fn base_url<'a>(&self, configured: &'a str) -> &'a str {
        configured.trim_end_matches('/')
    }
    fn setting_schema(&self) -> SettingSchema;
    /// What is wrong with the value of a setting's entry, as the end of a sentence about it; never repeats the value.
    fn objection(&self, _entry: &str, _value: &str) -> Option<&'static str> {
        None
    }
    /// `path` is what follows `/api/providers/<name>`. `None` = 404.
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint>;
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall>;
    /// The call as this setting understands it, where the setting knows more of its model than the request says.
    /// What comes out is what must be allowed, is priced and is prepared.
    fn with_setting<'a>(&self, call: &'a Call, _setting: &Setting) -> Cow<'a, Call> {
        Cow::Borrowed(call)
    }
    /// Events name the model that answered, because requests use names that customers make up.
    fn events_name_the_answering_model(&self) -> bool {
        false
    }
    /// Reads the same of an upload that is passed on while it arrives. `None` when nothing hangs on its content.
    fn upload(&self, _endpoint: &Endpoint, _headers: &HeaderMap) -> Option<Box<dyn UploadReader>> {
        None
    }
    /// # Errors
    /// The setting lacks something.
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting>;
    /// The connection that this request wants to be upgraded to; `None` for plain requests.
    fn socket(&self, _endpoint: &Endpoint, _query: Option<&str>, _headers: &HeaderMap) -> Option<Socket> {
        None
    }
    /// Objects of the provider that the request names in path, query or body, the path's first: each must be the
    /// caller's own.
    fn references(&self, _endpoint: &Endpoint, _query: Option<&str>, _body: &[u8]) -> Vec<Box<str>> {
        Vec::new()
    }
    /// The answer lists the objects of everybody who uses the credential.
    fn lists_objects(&self, _endpoint: &Endpoint) -> bool {
        false
    }
    /// The service in whose name clients sign, where they present their key as the access key id of a signature.
    fn signing_service(&self) -> Option<&'static str> {
        None
    }
    /// The setting has no credential: the host's own are to be kept at hand.
    fn is_ambient(&self, _setting: &Setting) -> bool {
        false
    }
    /// How it is asked for a conversation with this model: in the client's own form where the provider speaks that.
    /// `None` = it has no conversations that could be translated.
    fn chat(&self, _client: Format, _model: &str, _stream: bool) -> Option<ChatRoute> {
        None
    }
    /// How it is asked for vectors of texts. `known`: another name that tells more of the model, or the same.
    /// `None` = in OpenAI's form, or not at all.
    fn embeddings(&self, _model: &str, _known: &str) -> Option<EmbeddingRoute> {
        None
    }
    /// What a step of a route says beside the model, all of it required: names of `params`.
    fn step_params(&self) -> &'static [&'static str] {
        &[]
    }
    /// What is wrong with one of [`Self::step_params`], as the end of a sentence about it; never repeats the value.
    fn step_objection(&self, _name: &str, _value: &str) -> Option<&'static str> {
        None
    }
    /// How it is asked by a step of a route. `params`: what the step says beside the model. `None` = it cannot be asked
    /// for this, or a parameter is missing. Of vectors the route's form is the one that its errors have.
    fn step(
        &self,
        _params: &BTreeMap<Box<str>, Box<str>>,
        operation: StepOperation,
        model: &str,
        stream: bool,
    ) -> Option<ChatRoute> {
        match operation {
            StepOperation::Chat(client) => self.chat(client, model, stream),
            StepOperation::Embeddings => {
                // Only who speaks OpenAI's operations has this one under its name.
                let speaks = self.chat(Format::OpenAiChat, model, false)?.format == Format::OpenAiChat;
                let route = ChatRoute::new(Format::OpenAiChat, "/v1/embeddings");
                self.endpoint(&Method::POST, &route.path).filter(|_| speaks).map(|_| route)
            }
        }
    }
    /// The client's body with this name of the model, where this provider looks for it; as it is where that cannot be
    /// said. `None`: it is no JSON object.
    fn with_model(&self, _endpoint: &Endpoint, body: &Bytes, model: &str) -> Option<Bytes> {
        json_edit::set(body, "model", serde_json::Value::from(model).to_string().as_bytes()).map(Bytes::from)
    }
    /// The path at which a knowledge base answers by itself ([`Format::Knowledge`]), as [`Provider::endpoint`] takes it.
    fn knowledge(&self, _stream: bool) -> Option<&'static str> {
        None
    }
    /// The path at which passages are looked up in a knowledge base.
    fn retrieval(&self, _base: &str) -> Option<String> {
        None
    }
    /// What this model can, as far as its name tells.
    fn target(&self, model: &str) -> Target {
        Target { model: model.into(), ..Target::default() }
    }
    /// The names that the price table may know a model by, best first, until one is taken (`true`).
    fn price_names(&self, model: &str, _setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        take(model);
    }
    /// An upper bound of what the call can consume, cheap to compute; `None` when nothing bounds it.
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage>;
    /// The prompt counted by tokenizer, and the output bound. Costs time in proportion to the body.
    fn estimate(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage;
    /// `request` is the body the client sent: counted when the response does not say.
    fn meter(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        status: u16,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Box<dyn ResponseMeter>;
}

/// Follows a request body that nobody holds whole. Memory does not grow with it, and it never fails:
/// what cannot be understood is not known.
pub trait UploadReader: Send {
    fn push(&mut self, piece: &[u8]);
    /// What is known by now.
    fn call(&self) -> Call;
}

/// Whether the response is complete from the client's point of view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    More,
    /// The terminal marker (`[DONE]`, `response.completed`) is in what was just put out: book before sending it.
    Complete,
    /// As `Complete`, and what was just put out is the last: the upstream is not read any further.
    Ended,
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Complete,
    /// The client left, the upstream broke or time was up.
    Aborted,
}

/// What was read from a response.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    pub usage: Usage,
    /// The model that the response names, when it differs in spelling the price lookup tries it first.
    pub model: Option<Box<str>>,
    /// The body ended before its own terminal marker although one was due.
    pub truncated: bool,
    /// Objects that the request brought into being.
    pub made: Vec<MadeObject>,
    /// Earlier work whose consumption this answer tells, whether or not it was told before.
    pub charges: Vec<Charge>,
}

/// What an object has consumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// The object's id: it is charged once.
    pub id: Box<str>,
    pub model: Box<str>,
    pub usage: Usage,
    /// The rest of it: work of other models, and requests whose size may have a price of its own.
    pub more: Vec<(Box<str>, Usage)>,
}

impl Charge {
    /// Everything that is priced by itself.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Usage)> {
        std::iter::once((&*self.model, &self.usage)).chain(self.more.iter().map(|(model, usage)| (&**model, usage)))
    }
}

/// Follows one response body. Sees every byte, holds back as little as possible, never fails:
/// what cannot be understood passes unchanged.
pub trait ResponseMeter: Send {
    /// Puts into `out` what the client gets for this piece, in order; possibly nothing yet.
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress;
    /// The upstream body ended cleanly: puts out what was held back.
    fn end(&mut self, out: &mut Vec<Bytes>);
    /// The bill. Counts locally what was not reported (flagged in `usage.source`).
    fn reading(&mut self, ending: Ending) -> Reading;
    /// Work of other models that the same answer reports, each to be billed by its own price. Known after `reading`.
    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        Vec::new()
    }
    /// What to append to a stream that broke after its head was sent, so that no client takes it for whole.
    fn broken_tail(&self, message: &str) -> Option<Bytes>;
    /// As [`Self::broken_tail`], for what can be said once only.
    fn last_words(&mut self, message: &str) -> Option<Bytes> {
        self.broken_tail(message)
    }
    /// What may stand between any two pieces and means nothing but that the stream lives.
    fn keep_alive(&self) -> Option<Bytes> {
        None
    }
    /// The body is held until it is whole, up to so many bytes, whatever its type. `None` = as its type says.
    fn held_whole(&self) -> Option<usize> {
        None
    }
    /// The body is a sequence of events: it goes on as it comes, without a length of its own.
    fn is_stream(&self) -> bool;
    /// The status that the client gets; known once the body is, where it is held.
    fn status(&self, upstream: u16) -> u16 {
        upstream
    }
    /// Changes the head that the client gets, where the body that follows is another than the upstream's.
    fn head(&self, _headers: &mut HeaderMap) {}
}

/// A connection that is upgraded to WebSocket.
pub struct Socket {
    pub call: Call,
    /// Set over what the client sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub meter: Box<dyn SocketMeter>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Follows what the upstream sends on an upgraded connection.
pub trait SocketMeter: Send {
    /// The bills that are told in this piece, each complete.
    fn push(&mut self, piece: &[u8]) -> Vec<Reading>;
}

/// A provider as requests hold it.
pub type Handle = Arc<dyn Provider>;

/// All built-in providers.
pub fn all() -> &'static [Handle] {
    static ALL: LazyLock<Vec<Handle>> = LazyLock::new(|| {
        vec![
            Arc::new(openai::OpenAi),
            Arc::new(anthropic::Anthropic),
            Arc::new(azure::Azure),
            Arc::new(bedrock::Bedrock),
            Arc::new(deepinfra::DeepInfra),
            Arc::new(vllm::Vllm),
            Arc::new(ollama::Ollama),
            Arc::new(gemini::Gemini),
        ]
    });
    &ALL
}

/// The provider with this name.
pub fn by_name(name: &str) -> Option<&'static Handle> {
    all().iter().find(|p| p.name() == name)
}

/// Splits `/api/providers/<name>/<tail>` below `/api/providers`: the provider and the tail with its slash.
pub fn by_path(path: &str) -> Option<(&'static Handle, Cow<'_, str>)> {
    let rest = path.strip_prefix("/api/providers/")?;
    let slash = rest.find('/')?;
    let (name, tail) = rest.split_at_checked(slash)?;
    Some((by_name(name)?, Cow::Borrowed(tail)))
}
