//! What the service answers, whole and as it comes. A stream has no last word: it is whole when it ends between two
//! messages.

use super::super::converse::failure;
use super::super::{Answer, Citation, Event, Failure, FailureKind, Part, Stop, StreamReader, Tokens, Unreadable};
use super::sources;
use crate::wire::event_stream::{Framer, Message};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    session_id: Option<String>,
    output: Option<Said>,
    #[serde(default)]
    citations: Vec<Cited>,
    guardrail_action: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    text: Option<String>,
}

/// Older streams have the same once more inside.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cited {
    #[serde(default)]
    retrieved_references: Vec<Reference>,
    citation: Option<Box<Cited>>,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    content: Option<Said>,
    location: Option<BTreeMap<String, serde_json::Value>>,
}

impl Reference {
    /// Its text and where that is from; each kind of place has an object of its own.
    pub(super) fn tell(self) -> (String, String) {
        let places = self.location.unwrap_or_default();
        let text = |place: &serde_json::Value| {
            ["uri", "url", "id"].iter().find_map(|name| Some(place.get(name)?.as_str()?.to_owned()))
        };
        let source = places.values().find_map(text).unwrap_or_default();
        (self.content.and_then(|said| said.text).unwrap_or_default(), source)
    }
}

impl From<Reference> for Citation {
    fn from(reference: Reference) -> Self {
        let (quote, url) = reference.tell();
        let title = url.rsplit('/').next().unwrap_or_default().to_owned();
        Self { url, title, quote }
    }
}

impl Cited {
    fn citations(self) -> Vec<Citation> {
        let inner = self.citation.map(|inner| inner.retrieved_references).unwrap_or_default();
        self.retrieved_references.into_iter().chain(inner).map(Citation::from).collect()
    }
}

fn stop_of(action: Option<&str>) -> Stop {
    if action == Some("INTERVENED") { Stop::Filtered } else { Stop::End }
}

pub(in crate::wire::chat) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    let whole: Whole = serde_json::from_slice(body).map_err(|_| Unreadable)?;
    let text = whole.output.and_then(|said| said.text).ok_or(Unreadable)?;
    let citations: Vec<Citation> = whole.citations.into_iter().flat_map(Cited::citations).collect();
    let under = sources(&citations).map(Part::text);
    let answer = Part::Text { text, cache: None, citations };
    Ok(Answer {
        parts: std::iter::once(answer).chain(under).collect(),
        stop: stop_of(whole.guardrail_action.as_deref()),
        ..Answer::default()
    })
}

/// The id of the session in a whole answer.
pub fn session(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Whole>(body).ok()?.session_id
}

#[derive(Debug, Default)]
pub(in crate::wire::chat) struct Reader {
    framer: Framer,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    over: bool,
    filtered: bool,
    cited: Vec<Citation>,
}

/// Citations of one answer that are kept for its end.
const MOST_CITED: usize = 1000;

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let Self { framer, state } = self;
        if state.over {
            return;
        }
        if let Err(fault) = framer.push(piece, |message| state.message(&message, out)) {
            let message = format!("The stream of the upstream is broken: {fault}.");
            state.fail(Failure { kind: FailureKind::Server, message, code: None }, out);
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        let Self { framer, state } = self;
        if !state.over && state.begun && !framer.is_unfinished() {
            state.over = true;
            out.push(Event::BlockEnd);
            if let Some(under) = sources(&state.cited) {
                out.extend([Event::Text(under), Event::BlockEnd]);
            }
            let stop = if state.filtered { Stop::Filtered } else { Stop::End };
            out.extend([Event::Stop { stop, sequence: None }, Event::End]);
        }
    }
}

impl State {
    fn message(&mut self, message: &Message, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        match message.text(":message-type") {
            Some("exception") => {
                let class = message.text(":exception-type").unwrap_or_default();
                let (text, _) = failure::told(message.payload()).unwrap_or_default();
                let kind = failure::kind_of(class).unwrap_or(FailureKind::Server);
                self.fail(Failure { kind, message: text, code: None }, out);
            }
            Some("error") => {
                let text = message.text(":error-message").unwrap_or_default().to_owned();
                self.fail(Failure { kind: FailureKind::Server, message: text, code: None }, out);
            }
            _ => self.event(message, out),
        }
    }

    fn event(&mut self, message: &Message, out: &mut Vec<Event>) {
        match message.text(":event-type") {
            Some("output") => {
                let said = serde_json::from_slice::<Said>(message.payload()).ok().and_then(|said| said.text);
                self.begin(out);
                out.extend(said.filter(|text| !text.is_empty()).map(Event::Text));
            }
            Some("citation") => {
                let Ok(cited) = serde_json::from_slice::<Cited>(message.payload()) else { return };
                self.begin(out);
                for citation in cited.citations() {
                    if self.cited.len() < MOST_CITED && !self.cited.contains(&citation) {
                        self.cited.push(citation.clone());
                        out.push(Event::Citation(citation));
                    }
                }
            }
            Some("guardrail") => {
                #[derive(Deserialize)]
                struct Guardrail {
                    action: Option<String>,
                }
                let told = serde_json::from_slice::<Guardrail>(message.payload()).ok().and_then(|told| told.action);
                self.filtered |= stop_of(told.as_deref()) == Stop::Filtered;
            }
            _ => {}
        }
    }

    fn begin(&mut self, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Start { id: String::new(), model: String::new(), tokens: Tokens::default() });
        }
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.over, true) {
            out.push(Event::Failed(failure));
        }
    }
}
