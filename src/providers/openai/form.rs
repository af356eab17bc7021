//! Reads a form while it passes: its short fields, how many pictures are in it, how long its recording plays.

use super::Kind;
use crate::providers::{BadCall, Call, Media, UploadReader};
use crate::wire::multipart::{Item, PartHead, Scanner, boundary};
use crate::wire::recording::Recording;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A field longer than this says nothing that matters here.
const FIELD_LIMIT: usize = 1024;
/// Bytes a millisecond of a recording whose container says nothing: 128 kbit/s.
const USUAL_BYTES_PER_MILLI: u64 = 16;

/// What the current part is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Ignored,
    /// A field whose value is collected.
    Field,
    /// A field whose length matters.
    Prompt,
    Recording,
}

#[derive(Debug)]
pub(super) struct Form {
    kind: Kind,
    scanner: Scanner,
    place: Place,
    name: String,
    value: Vec<u8>,
    recording: Recording,
    facts: Facts,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Facts {
    model: Option<Box<str>>,
    two_models: bool,
    user: Box<str>,
    stream: bool,
    choices: Option<u64>,
    media: Media,
}

impl Form {
    /// `None` when the body is no form.
    pub(super) fn new(kind: Kind, headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(Self {
            kind,
            scanner: Scanner::new(boundary(content_type)?),
            place: Place::Ignored,
            name: String::new(),
            value: Vec::new(),
            recording: Recording::default(),
            facts: Facts::default(),
        })
    }

    /// Two readers of a form with two models could take different ones.
    pub(super) fn fault(&self) -> Option<BadCall> {
        let message = "The form has more than one model.".to_owned();
        self.facts.two_models.then_some(BadCall { message, param: Some("model") })
    }

    fn place_of(&self, head: &PartHead) -> Place {
        let hears = matches!(self.kind, Kind::Transcriptions | Kind::Translations);
        match &*head.name {
            "file" if hears => Place::Recording,
            _ if head.is_file => Place::Ignored,
            "prompt" | "instructions" => Place::Prompt,
            "model" | "user" | "safety_identifier" | "stream" | "n" | "size" | "quality" | "partial_images"
            | "response_format" | "chunking_strategy" => Place::Field,
            // An object may come in parts: `chunking_strategy[type]`.
            name if name.starts_with("chunking_strategy") => Place::Field,
            _ => Place::Ignored,
        }
    }
}

impl UploadReader for Form {
    fn push(&mut self, piece: &[u8]) {
        let mut scanner = std::mem::replace(&mut self.scanner, Scanner::idle());
        scanner.push(piece, &mut |item| match item {
            Item::Part(head) => {
                self.place = self.place_of(&head);
                self.facts.media.pictures += u64::from(head.is_file && head.name.starts_with("image"));
                self.name = head.name;
                self.value.clear();
            }
            Item::Data(data) => match self.place {
                Place::Ignored => {}
                Place::Field if self.value.len() + data.len() <= FIELD_LIMIT => self.value.extend_from_slice(data),
                Place::Field => self.place = Place::Ignored,
                Place::Prompt => self.facts.media.prompt_bytes += data.len() as u64,
                Place::Recording => self.recording.push(data),
            },
            Item::End if self.place == Place::Field => self.facts.field(&self.name, &self.value),
            Item::End => {}
        });
        self.scanner = scanner;
    }

    fn call(&self) -> Call {
        let facts = &self.facts;
        let by_size = self.recording.bytes() / USUAL_BYTES_PER_MILLI;
        let audio_millis = self.recording.millis().unwrap_or(by_size);
        Call {
            model: facts.model.clone().unwrap_or_default(),
            user: facts.user.clone(),
            stream: facts.stream,
            choices: facts.choices.unwrap_or(1).max(1),
            media: Some(Box::new(Media { audio_millis, ..facts.media.clone() })),
            ..Call::default()
        }
    }
}

impl Facts {
    /// The last one of a repeated field counts.
    fn field(&mut self, name: &str, value: &[u8]) {
        let Ok(text) = std::str::from_utf8(value) else { return };
        let number = || text.trim().parse().ok();
        match name {
            "model" => {
                self.two_models |= self.model.as_deref().is_some_and(|before| before != text);
                self.model = Some(text.into());
            }
            "user" => self.user = text.into(),
            "safety_identifier" if self.user.is_empty() => self.user = text.into(),
            "stream" => self.stream = matches!(text, "true" | "True" | "1"),
            "n" => self.choices = number(),
            "size" => self.media.size = text.into(),
            "quality" => self.media.quality = text.into(),
            "partial_images" => self.media.partial_images = number().unwrap_or(0),
            "response_format" => self.media.format = text.into(),
            name => self.media.chunked |= name.starts_with("chunking_strategy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=cut"))])
    }

    fn field(name: &str, value: &str) -> String {
        format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        let head = format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    }

    fn read(kind: Kind, body: &[u8], pieces: usize) -> Call {
        let mut form = Form::new(kind, &headers()).expect("a form");
        body.chunks(pieces).for_each(|piece| form.push(piece));
        form.call()
    }

    #[test]
    fn a_recording_is_measured_wherever_the_fields_stand() {
        // FLAC, one second.
        let mut flac = b"fLaC\0\0\0\x22\0\0\0\0\0\0\0\0\0\0".to_vec();
        flac.extend_from_slice(&(16_000u64 << 44 | 16_000).to_be_bytes());
        flac.resize(40_000, 9);
        let fields = [field("model", "whisper-1"), field("response_format", "srt"), field("stream", "true")].concat();
        let sound = file("file", &flac);
        for body in [[&sound, fields.as_bytes(), b"--cut--"].concat(), [fields.as_bytes(), &sound, b"--cut--"].concat()]
        {
            for pieces in [1, 100, body.len()] {
                let call = read(Kind::Transcriptions, &body, pieces);
                let media = call.media.expect("media");
                assert_eq!((&*call.model, call.stream, &*media.format), ("whisper-1", true, "srt"));
                assert_eq!(media.audio_millis, 1000);
            }
        }
        let noise = [&file("file", &[1; 160_000])[..], b"--cut--"].concat();
        let media = read(Kind::Translations, &noise, 4096).media.expect("media");
        assert_eq!(media.audio_millis, 10_000, "by its size");
    }

    #[test]
    fn pictures_are_counted_and_their_wishes_read() {
        let body = [
            field("model", "gpt-image-1").as_bytes(),
            field("n", "2").as_bytes(),
            field("size", "1024x1536").as_bytes(),
            field("quality", "high").as_bytes(),
            field("prompt", "a cat").as_bytes(),
            field("user", &"u".repeat(FIELD_LIMIT + 1)).as_bytes(),
            &file("image[]", b"png"),
            &file("image[]", b"png"),
            &file("mask", b"png"),
            // A file is no field, whatever it is called.
            &file("model", b"gpt-4o"),
            b"--cut--",
        ]
        .concat();
        let call = read(Kind::ImageEdits, &body, 7);
        let media = call.media.expect("media");
        assert_eq!((&*call.model, call.choices, &*call.user), ("gpt-image-1", 2, ""));
        assert_eq!((&*media.size, &*media.quality, media.pictures, media.prompt_bytes), ("1024x1536", "high", 2, 5));
    }

    #[test]
    fn two_models_are_one_too_many() {
        let mut form = Form::new(Kind::Transcriptions, &headers()).expect("a form");
        form.push(field("model", "whisper-1").as_bytes());
        form.push(field("model", "whisper-1").as_bytes());
        form.push(b"--cut\r\n");
        assert_eq!(form.fault(), None);
        form.push(&field("model", "gpt-4o-transcribe").as_bytes()[7..]);
        form.push(b"--cut--");
        assert!(form.fault().is_some_and(|f| f.param == Some("model")));
        assert_eq!(&*form.call().model, "gpt-4o-transcribe");
        assert!(Form::new(Kind::Transcriptions, &HeaderMap::new()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..400), pieces in 1..50usize) {
            let body = [&file("file", &noise)[..], &noise, field("model", "m").as_bytes(), b"--cut--"].concat();
            prop_assert_eq!(read(Kind::Transcriptions, &body, pieces), read(Kind::Transcriptions, &body, body.len()));
        }
    }
}
