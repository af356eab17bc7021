//! What answers of pictures, sound and assistants' runs say they consumed, and what they consumed when they say nothing.

use super::watch::of_frame;
use crate::domain::{Usage, UsageSource};
use crate::metering::count::Encoding;
use crate::providers::openai::{Kind, media, usage};
use crate::providers::{Call, Media, Reading};
use crate::wire::json_walk::{elements, member, members, millis, string, strings, unescape};
use crate::wire::recording::Recording;
use crate::wire::sse::Frame;
use bytes::Bytes;

/// Bytes a millisecond of uncompressed speech: 24 kHz, 16 bit.
const PCM_BYTES_PER_MILLI: u64 = 48;

#[derive(Debug)]
pub(super) struct Account {
    kind: Kind,
    call: Call,
    sent: Bytes,
    /// As reported so far.
    usage: Option<Usage>,
    model: Option<Box<str>>,
    also: Vec<(Box<str>, Usage)>,
    /// Terminal events.
    finished: u64,
    done: bool,
    failed: bool,
    /// Text that came in events.
    text: String,
    text_beyond: u64,
    file_searches: u64,
    ran_code: bool,
}

/// Text of a transcript or a run that is kept to be counted.
const TEXT_LIMIT: usize = 1024 * 1024;

impl Account {
    pub(super) fn new(kind: Kind, call: &Call, sent: &Bytes) -> Self {
        Self {
            kind,
            call: call.clone(),
            sent: sent.clone(),
            usage: None,
            model: None,
            also: Vec::new(),
            finished: 0,
            done: false,
            failed: false,
            text: String::new(),
            text_beyond: 0,
            file_searches: 0,
            ran_code: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        std::mem::take(&mut self.also)
    }

    /// An answer in one piece of JSON.
    pub(super) fn json(&mut self, text: &[u8], aborted: bool) -> Reading {
        let mut answer = Json::default();
        let mut walk = members(text);
        for m in walk.by_ref() {
            match m.key {
                b"usage" => answer.usage = Some(m.value),
                b"svg_usage" => self.svg(m.value),
                b"data" => answer.pictures = Some(elements(m.value).count() as u64),
                b"size" => answer.size = string(m.value),
                b"quality" => answer.quality = string(m.value),
                b"duration" => answer.millis = millis(string(m.value).unwrap_or(m.value)),
                b"text" => answer.text = string(m.value),
                b"model" => self.answered_by(m.value),
                b"error" => answer.failed = m.value != b"null",
                _ => {}
            }
        }
        let truncated = aborted || !walk.is_whole();
        let has_result = answer.pictures.is_some() || answer.text.is_some();
        let usage = match self.kind {
            _ if !has_result && !truncated && answer.usage.is_none() => Usage::default(),
            _ if answer.failed && !has_result => Usage::default(),
            Kind::Images | Kind::ImageEdits => self.drawn(&answer),
            _ => self.heard(&answer),
        };
        self.reading(usage, truncated)
    }

    fn drawn(&self, answer: &Json<'_>) -> Usage {
        if let Some(usage) = answer.usage.and_then(usage::picture).map(reported) {
            return usage;
        }
        let asked = self.media();
        // What was made counts rather than what was asked for.
        let told = |told: Option<&[u8]>, asked: Box<str>| told.map_or(asked, |text| unescape(text).into());
        let media = Media {
            size: told(answer.size, asked.size.clone()),
            quality: told(answer.quality, asked.quality.clone()),
            ..asked
        };
        media::pictures(&self.call, &media, answer.pictures.unwrap_or(0))
    }

    fn heard(&self, answer: &Json<'_>) -> Usage {
        if let Some(usage) = answer.usage.and_then(usage::listening).map(reported) {
            return usage;
        }
        match answer.millis {
            Some(millis) => Usage { audio_millis: millis, source: UsageSource::Upstream, ..Usage::default() },
            None => {
                let text = answer.text.map(unescape).unwrap_or_default();
                media::heard(&self.call, self.encoding().count(&text))
            }
        }
    }

    /// An answer that is sound.
    pub(super) fn sound(&mut self, recording: &Recording, aborted: bool) -> Reading {
        let is_pcm = self.call.media.as_deref().is_some_and(|media| &*media.format == "pcm");
        let millis = if is_pcm { Some(recording.bytes() / PCM_BYTES_PER_MILLI) } else { recording.millis() };
        // Of what broke off the rest was spoken as well, as far as anybody knows.
        self.spoken(millis.filter(|_| !aborted), aborted)
    }

    /// An answer that is neither JSON nor events nor declared as sound.
    pub(super) fn text(&mut self, bytes: u64, aborted: bool) -> Reading {
        match self.kind {
            Kind::Speech => self.spoken(None, aborted),
            Kind::Transcriptions | Kind::Translations => {
                let usage = media::heard(&self.call, bytes.div_ceil(4));
                self.reading(usage, aborted)
            }
            // The request arrived, and nothing is known of an answer.
            Kind::Images | Kind::ImageEdits if aborted => {
                let usage = media::pictures(&self.call, &self.media(), 0);
                self.reading(Usage { source: UsageSource::Estimated, ..usage }, aborted)
            }
            _ => self.reading(Usage::default(), aborted),
        }
    }

    fn spoken(&self, millis: Option<u64>, truncated: bool) -> Reading {
        self.reading(media::spoken(&self.call, &self.sent, millis), truncated)
    }

    /// An event of a stream.
    pub(super) fn frame(&mut self, frame: &Frame) {
        let Some((name, data)) = of_frame(frame) else { return };
        if self.kind == Kind::Runs {
            return self.run_event(&name, &data);
        }
        let (mut kind, mut delta, mut told, mut svg) = (&b""[..], None, None, None);
        for m in members(&data) {
            match m.key {
                b"type" => kind = string(m.value).unwrap_or_default(),
                b"delta" => delta = string(m.value),
                b"usage" => told = Some(m.value),
                b"svg_usage" => svg = Some(m.value),
                b"error" => self.failed |= m.value != b"null",
                _ => {}
            }
        }
        match kind {
            b"image_generation.completed" | b"image_edit.completed" => {
                // One for each picture.
                self.finished += 1;
                self.done = self.finished >= self.call.choices.max(1);
                let usage = told.and_then(usage::picture);
                self.usage = match (self.usage.take(), usage) {
                    (Some(before), Some(now)) => Some(sum(before, &now)),
                    (before, now) => before.or(now),
                };
                svg.into_iter().for_each(|svg| self.svg(svg));
            }
            b"speech.audio.done" => {
                self.done = true;
                self.usage = told.and_then(usage::speech);
            }
            b"transcript.text.done" => {
                self.done = true;
                self.usage = told.and_then(usage::listening);
            }
            b"transcript.text.delta" => delta.into_iter().for_each(|text| self.write(&unescape(text))),
            b"error" => self.failed = true,
            _ => {}
        }
    }

    fn run_event(&mut self, name: &[u8], data: &[u8]) {
        match name {
            b"done" => self.done = true,
            b"error" => self.failed = true,
            b"thread.message.delta" => {
                strings(data).filter(|(key, _)| *key == b"value").for_each(|(_, text)| self.write(&unescape(text)));
            }
            b"thread.run.step.completed" => self.tools(data),
            _ if name.starts_with(b"thread.run.") && !name.starts_with(b"thread.run.step.") => {
                for m in members(data) {
                    match m.key {
                        b"model" => self.answered_by(m.value),
                        b"usage" => self.usage = usage::read(m.value).or(self.usage.take()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn tools(&mut self, step: &[u8]) {
        let calls = member(step, "step_details").and_then(|details| member(details.value, "tool_calls"));
        for call in calls.into_iter().flat_map(|calls| elements(calls.value)) {
            match member(call, "type").and_then(|kind| string(kind.value)) {
                Some(b"file_search") => self.file_searches += 1,
                // All calls of a thread share one session.
                Some(b"code_interpreter") => self.ran_code = true,
                _ => {}
            }
        }
    }

    /// The bill of a stream.
    pub(super) fn events(&mut self) -> Reading {
        let truncated = !self.done;
        if let Some(usage) = self.usage.clone() {
            let source = if self.done { UsageSource::Upstream } else { UsageSource::Partial };
            let tools =
                Usage { file_search: self.file_searches, code_sessions: u64::from(self.ran_code), source, ..usage };
            return self.reading(tools, truncated);
        }
        if self.failed && self.text.is_empty() {
            return self.reading(Usage::default(), truncated);
        }
        let usage = match self.kind {
            Kind::Images | Kind::ImageEdits => {
                // A picture that broke off may be finished without us.
                let count = if self.done { self.finished } else { self.call.choices };
                Usage { source: UsageSource::Estimated, ..media::pictures(&self.call, &self.media(), count) }
            }
            Kind::Speech => media::spoken(&self.call, &self.sent, None),
            // A run that waits for the client's tools reports when it is over.
            Kind::Runs if self.done => Usage::default(),
            Kind::Runs => Usage {
                in_text: self.sent.len() as u64 / 4,
                out_text: self.written(),
                source: UsageSource::Estimated,
                ..Usage::default()
            },
            _ => media::heard(&self.call, self.written()),
        };
        self.reading(usage, truncated)
    }

    fn write(&mut self, text: &str) {
        if self.text.len() + text.len() <= TEXT_LIMIT {
            self.text.push_str(text);
        } else {
            self.text_beyond += text.len() as u64;
        }
    }

    fn written(&self) -> u64 {
        self.encoding().count(&self.text) + self.text_beyond.div_ceil(4)
    }

    fn encoding(&self) -> Encoding {
        Encoding::of_model(&self.call.model)
    }

    fn media(&self) -> Media {
        self.call.media.as_deref().cloned().unwrap_or_default()
    }

    fn answered_by(&mut self, value: &[u8]) {
        if let Some(name) = string(value).filter(|name| !name.is_empty()) {
            self.model = Some(unescape(name).into());
        }
    }

    /// A drawing's own model is billed beside the picture's.
    fn svg(&mut self, value: &[u8]) {
        let model = member(value, "model").and_then(|m| string(m.value));
        if let Some((model, usage)) = model.zip(usage::read(value)) {
            self.also.push((unescape(model).into(), reported(usage)));
        }
    }

    fn reading(&self, usage: Usage, truncated: bool) -> Reading {
        Reading { usage, model: self.model.clone(), truncated, ..Reading::default() }
    }
}

/// What matters of an answer in JSON.
#[derive(Default)]
struct Json<'a> {
    usage: Option<&'a [u8]>,
    pictures: Option<u64>,
    size: Option<&'a [u8]>,
    quality: Option<&'a [u8]>,
    millis: Option<u64>,
    text: Option<&'a [u8]>,
    failed: bool,
}

fn reported(usage: Usage) -> Usage {
    Usage { source: UsageSource::Upstream, ..usage }
}

fn sum(a: Usage, b: &Usage) -> Usage {
    Usage {
        in_text: a.in_text.saturating_add(b.in_text),
        in_image: a.in_image.saturating_add(b.in_image),
        cache_read_text: a.cache_read_text.saturating_add(b.cache_read_text),
        out_text: a.out_text.saturating_add(b.out_text),
        out_image: a.out_image.saturating_add(b.out_image),
        ..a
    }
}
