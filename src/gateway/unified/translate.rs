//! The answer of an upstream in the client's own form. The provider's meter stays inside and sees what it always sees:
//! the bill is made of the upstream's own numbers.

use super::compose::{Face, SESSION};
use super::error::envelope;
use super::rename;
use crate::domain::{MadeObject, Usage};
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::chat::{
    self, Answer, Asked, Citation, Event, Failure, FailureKind, Format, Part, Stop, StreamReader, StreamWriter, Tokens,
    anthropic_error, openai_error,
};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Of an answer that is translated whole.
pub(in crate::gateway) const WHOLE: usize = 16 * 1024 * 1024;
/// Of an upstream's error, which is read for its message only.
pub(super) const ERROR_WHOLE: usize = 256 * 1024;

pub(super) const EXCEPTION: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Where a knowledge base names the conversation that it keeps.
const KNOWLEDGE_SESSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-knowledge-base-session-id");
/// What of an upstream's head is said on to a client who does not know that upstream.
const KEPT: [HeaderName; 3] =
    [RETRY_AFTER, HeaderName::from_static("retry-after-ms"), HeaderName::from_static("x-upstream-request-id")];

/// What is done to an answer on its way to the client.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum Around {
    Translated(Box<Translation>),
    /// The same form: only the model's name is another.
    Renamed(Box<str>),
}

impl Around {
    /// The meter of an answer, with that around it.
    pub(in crate::gateway) fn wrap(
        &self,
        inner: Box<dyn ResponseMeter>,
        status: u16,
        headers: &HeaderMap,
    ) -> Box<dyn ResponseMeter> {
        match self {
            Self::Translated(translation) => translation.wrap(inner, status, headers),
            Self::Renamed(name) if (200..300).contains(&status) => rename::renamed(inner, name),
            // An error passes as it is.
            Self::Renamed(_) => inner,
        }
    }
}

/// How one answer is to be translated.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Translation {
    pub(super) upstream: Format,
    pub(super) client: Format,
    pub(super) asked: Asked,
    pub(super) answer_tool: Option<String>,
    pub(super) stream: bool,
    /// Listed under the answer.
    pub(super) sources: Vec<Citation>,
    /// The answer is text for people, under which a list may stand.
    pub(super) prose: bool,
    /// Whose errors the client reads.
    pub(super) face: Face,
}

impl Translation {
    /// What stands under the answer; not where the answer is to be parsed.
    fn under(&self) -> Option<Part> {
        let text = chat::knowledge::sources(&self.sources).filter(|_| self.prose && self.answer_tool.is_none())?;
        Some(Part::Text { text, cache: None, citations: self.sources.clone() })
    }

    fn wrap(&self, inner: Box<dyn ResponseMeter>, status: u16, headers: &HeaderMap) -> Box<dyn ResponseMeter> {
        let mode = if !(200..300).contains(&status) {
            let class = headers.get(EXCEPTION).and_then(|v| v.to_str().ok()).map(Into::into);
            Mode::Failed { status, class, body: Vec::new() }
        } else if self.stream {
            Mode::Stream {
                reader: chat::stream_reader(self.upstream),
                writer: chat::stream_writer(self.client, self.asked.clone()),
                tool: self.answer_tool.as_ref().map(|name| chat::AnswerTool::new(name.clone())),
                over: false,
            }
        } else {
            Mode::Whole { body: Vec::new(), fits: true }
        };
        let session = headers.get(KNOWLEDGE_SESSION).cloned();
        let under = self.under();
        Box::new(Translated {
            inner,
            how: self.clone(),
            mode,
            passed: Vec::new(),
            status: None,
            under,
            session,
            counted: None,
        })
    }
}

enum Mode {
    Stream {
        reader: Box<dyn StreamReader>,
        writer: Box<dyn StreamWriter>,
        tool: Option<chat::AnswerTool>,
        /// The client has had the last word of its stream.
        over: bool,
    },
    Whole {
        body: Vec<u8>,
        fits: bool,
    },
    Failed {
        status: u16,
        class: Option<Box<str>>,
        body: Vec<u8>,
    },
}

struct Translated {
    inner: Box<dyn ResponseMeter>,
    how: Translation,
    mode: Mode,
    /// What the inner meter lets through.
    passed: Vec<Bytes>,
    /// Another one than the upstream's.
    status: Option<u16>,
    /// Not yet written.
    under: Option<Part>,
    /// Where the upstream keeps the conversation.
    session: Option<HeaderValue>,
    /// The bill, where it had to be known for the answer. A meter tells it once.
    counted: Option<Reading>,
}

impl Translated {
    /// Takes what the inner meter has let through; whether the client's stream is over by it.
    fn translate(&mut self, out: &mut Vec<Bytes>) -> bool {
        let passed = std::mem::take(&mut self.passed);
        match &mut self.mode {
            Mode::Stream { reader, writer, tool, over } => {
                let mut events = Vec::new();
                for piece in &passed {
                    reader.push(piece, &mut events);
                }
                list_under(&mut events, &mut self.under);
                write(events, &mut **writer, tool.as_mut(), over, out);
                *over
            }
            Mode::Whole { body, fits } => {
                *fits &= keep(body, &passed, WHOLE);
                false
            }
            Mode::Failed { body, .. } => {
                // What is beyond is not needed for a message.
                keep(body, &passed, ERROR_WHOLE);
                false
            }
        }
    }

    /// An upstream that does not tell what it has consumed is counted; the client is told that.
    fn count(&mut self) -> Option<Tokens> {
        if self.how.upstream != Format::Knowledge {
            return None;
        }
        let usage = &self.counted.insert(self.inner.reading(Ending::Complete)).usage;
        Some(Tokens { input: usage.in_text, output: usage.out_text, ..Tokens::default() })
    }

    fn whole(&mut self, answer: Option<Answer>) -> Bytes {
        let how = &self.how;
        match answer {
            Some(answer) => {
                let mut answer = match &how.answer_tool {
                    Some(name) => chat::AnswerTool::apply_whole(name, answer),
                    None => answer,
                };
                if answer.stop != Stop::ToolUse {
                    answer.parts.extend(self.under.take());
                }
                chat::write_answer(how.client, &answer, &how.asked).into()
            }
            None => {
                self.status = Some(502);
                let failure = Failure {
                    kind: FailureKind::Server,
                    message: "The provider's answer cannot be read.".into(),
                    code: Some("upstream_error".into()),
                };
                error_body((how.client, how.face), &failure, 502)
            }
        }
    }
}

/// Puts the list before the end of an answer in words.
fn list_under(events: &mut Vec<Event>, under: &mut Option<Part>) {
    let end = events.iter().position(|event| matches!(event, Event::Stop { stop, .. } if *stop != Stop::ToolUse));
    let Some(end) = end else { return };
    if let Some(Part::Text { text, citations, .. }) = under.take() {
        let list = std::iter::once(Event::Text(text)).chain(citations.into_iter().map(Event::Citation));
        events.splice(end..end, list.chain([Event::BlockEnd]));
    }
}

/// Whether it all fits.
fn keep(body: &mut Vec<u8>, pieces: &[Bytes], limit: usize) -> bool {
    for piece in pieces {
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        if piece.len() > room {
            return false;
        }
    }
    true
}

fn write(
    events: Vec<Event>,
    writer: &mut dyn StreamWriter,
    mut tool: Option<&mut chat::AnswerTool>,
    over: &mut bool,
    out: &mut Vec<Bytes>,
) {
    let mut bytes = Vec::new();
    let mut unwrapped = Vec::with_capacity(1);
    for event in events {
        match &mut tool {
            Some(tool) => tool.apply(event, &mut unwrapped),
            None => unwrapped.push(event),
        }
        for event in unwrapped.drain(..) {
            if *over {
                continue;
            }
            *over = matches!(event, Event::End | Event::Failed(_));
            writer.write(event, &mut bytes);
        }
    }
    if !bytes.is_empty() {
        out.push(bytes.into());
    }
}

impl ResponseMeter for Translated {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let mut passed = std::mem::take(&mut self.passed);
        let progress = self.inner.push(piece, &mut passed);
        self.passed = passed;
        if self.translate(out) {
            return if progress == Progress::Ended { progress } else { Progress::Complete };
        }
        // The upstream's last word may not be the client's: some formats tell what was consumed after it.
        if progress == Progress::Ended { progress } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        let mut passed = std::mem::take(&mut self.passed);
        self.inner.end(&mut passed);
        self.passed = passed;
        self.translate(out);
        let counted = if matches!(self.mode, Mode::Failed { .. }) { None } else { self.count() };
        match &mut self.mode {
            Mode::Stream { reader, writer, tool, over } => {
                let mut events = Vec::new();
                reader.end(&mut events);
                list_under(&mut events, &mut self.under);
                if let Some(tokens) = counted
                    && let Some(last) = events.iter().position(|event| *event == Event::End)
                {
                    events.insert(last, Event::Tokens(tokens));
                }
                write(events, &mut **writer, tool.as_mut(), over, out);
            }
            Mode::Whole { body, fits } => {
                let body = std::mem::take(body);
                let mut answer = if *fits { chat::read_answer(self.how.upstream, &body).ok() } else { None };
                if let (Some(answer), Some(tokens)) = (&mut answer, counted) {
                    answer.tokens = tokens;
                    let session = chat::knowledge::session(&body);
                    self.session = session.and_then(|id| HeaderValue::try_from(id).ok()).or(self.session.take());
                }
                let whole = self.whole(answer);
                out.push(whole);
            }
            Mode::Failed { status, class, body } => {
                let (status, body) =
                    failed_body(self.how.upstream, (self.how.client, self.how.face), *status, class.as_deref(), body);
                self.status = Some(status);
                out.push(body);
            }
        }
    }

    fn reading(&mut self, ending: Ending) -> Reading {
        let mut reading = self.counted.take().unwrap_or_else(|| self.inner.reading(ending));
        // Whole for its own meter, and yet without a last word that could be told.
        // Whoever was told of a session may go on with it, and nobody else.
        if let Some(id) = self.session.as_ref().and_then(|id| id.to_str().ok()) {
            reading.made.push(MadeObject { id: id.into(), kind: "session".into(), charged_as: None });
        }
        reading.truncated |= ending == Ending::Complete && matches!(self.mode, Mode::Stream { over: false, .. });
        reading
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.inner.also()
    }

    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }

    fn last_words(&mut self, message: &str) -> Option<Bytes> {
        let Mode::Stream { writer, over: over @ false, .. } = &mut self.mode else { return None };
        *over = true;
        let failure =
            Failure { kind: FailureKind::Server, message: message.into(), code: Some("upstream_disconnected".into()) };
        let mut bytes = Vec::new();
        writer.write(Event::Failed(failure), &mut bytes);
        Some(bytes.into())
    }

    fn is_stream(&self) -> bool {
        matches!(self.mode, Mode::Stream { .. })
    }

    fn keep_alive(&self) -> Option<Bytes> {
        match (&self.mode, self.how.client) {
            (Mode::Stream { .. }, Format::Anthropic) => {
                Some(Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"))
            }
            (Mode::Stream { .. }, Format::OpenAiChat | Format::OpenAiCompletions | Format::OpenAiResponses) => {
                Some(Bytes::from_static(b": ping\n\n"))
            }
            _ => None,
        }
    }

    fn held_whole(&self) -> Option<usize> {
        match self.mode {
            Mode::Stream { .. } => None,
            Mode::Whole { .. } => Some(WHOLE),
            Mode::Failed { .. } => Some(ERROR_WHOLE),
        }
    }

    fn status(&self, upstream: u16) -> u16 {
        self.status.unwrap_or(upstream)
    }

    fn head(&self, headers: &mut HeaderMap) {
        let mut kept = HeaderMap::with_capacity(8);
        for name in KEPT {
            if let Some(value) = headers.get(&name) {
                kept.insert(name, value.clone());
            }
        }
        // Some services turn away without saying for how long.
        if self.status == Some(429) && !kept.contains_key(RETRY_AFTER) {
            kept.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let media = if self.is_stream() { chat::stream_type(self.how.client) } else { "application/json" };
        kept.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if self.is_stream() {
            kept.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            kept.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        }
        if let Some(session) = &self.session {
            kept.insert(SESSION, session.clone());
        }
        *headers = kept;
    }
}

/// The status and the code that a client gets for an upstream's error: what is our own fault does not look like the
/// client's.
fn client_status(upstream: Format, status: u16, failure: &Failure) -> (u16, Option<&'static str>) {
    let aws = matches!(upstream, Format::Converse | Format::Knowledge);
    match (status, failure.kind) {
        (404, _) if aws => (502, Some("upstream_not_found")),
        (400, _) if aws => (400, Some("upstream_validation")),
        (408, _) => (504, Some("upstream_timeout")),
        (424, _) => (502, Some("upstream_model_error")),
        (429, _) => (429, Some("upstream_throttled")),
        (401 | 403, _) => (502, Some("upstream_auth")),
        (503 | 529, _) => (503, Some("upstream_unavailable")),
        (500..=599, _) => (502, Some("upstream_error")),
        (status, _) => (status, None),
    }
}

/// An upstream's error as the client reads it. `class`: what its headers call it.
pub(super) fn failed_body(
    upstream: Format,
    client: (Format, Face),
    status: u16,
    class: Option<&str>,
    body: &[u8],
) -> (u16, Bytes) {
    let mut failure = chat::read_failure(upstream, status, class, body);
    let (status, code) = client_status(upstream, status, &failure);
    if code.is_some() {
        failure.code = code.map(Into::into);
    }
    let body = error_body(client, &failure, status);
    (status, body)
}

fn error_body(client: (Format, Face), failure: &Failure, status: u16) -> Bytes {
    match client {
        (Format::Anthropic, _) => anthropic_error(failure).to_string().into(),
        (_, Face::Own) => serde_json::json!({ "error": openai_error(failure) }).to_string().into(),
        (_, Face::Unified) => {
            let object = openai_error(failure);
            let text = |name: &str| object.get(name).and_then(|v| v.as_str());
            let kind = match status {
                429 => "rate_limit_error",
                500..=599 => "api_error",
                _ => text("type").unwrap_or("api_error"),
            };
            envelope(&failure.message, kind, failure.code.as_deref().or(text("code")).unwrap_or("upstream_error"), None)
        }
    }
}
