//! What pictures and sound consume when nobody reports it: bounds before a request, counts and guesses after it.

use super::Kind;
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::metering::count::{AUDIO_PER_SECOND, Encoding};
use crate::providers::{Call, Media};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};

/// Output tokens of a picture by quality: square, and any other shape.
const HIGH: (u64, u64) = (4160, 6240);
const MEDIUM: (u64, u64) = (1056, 1584);
const LOW: (u64, u64) = (272, 408);
/// Output tokens of an unfinished picture.
const PARTIAL: u64 = 100;
/// Input tokens of a picture of unknown size.
const PICTURE: u64 = 400;
/// Output tokens of ten seconds of speech, and how many characters are spoken in a second.
const SPOKEN_PER_TEN_SECONDS: u64 = 208;
const CHARACTERS_PER_SECOND: u64 = 15;
/// Written tokens of a second of speech.
const WRITTEN_PER_SECOND: u64 = 4;

/// The parts of a JSON body that the bill of pictures and sound hangs on.
pub(super) fn of_json(kind: Kind, body: &[u8]) -> Option<Box<Media>> {
    if !matches!(kind, Kind::Images | Kind::ImageEdits | Kind::Speech) {
        return None;
    }
    let mut media = Media::default();
    let text = |value: &[u8]| string(value).map(|raw| Box::from(&*unescape(raw))).unwrap_or_default();
    for m in members(body) {
        match &*unescape(m.key) {
            "size" => media.size = text(m.value),
            "quality" => media.quality = text(m.value),
            "partial_images" => media.partial_images = whole_number(m.value).unwrap_or(0),
            "response_format" => media.format = text(m.value),
            "prompt" | "instructions" => media.prompt_bytes += m.value.len() as u64,
            "input" => media.characters = string(m.value).map_or(0, |raw| unescape(raw).chars().count() as u64),
            "image" => media.pictures = 1,
            "images" => media.pictures = elements(m.value).count() as u64,
            _ => {}
        }
    }
    Some(Box::new(media))
}

/// A bound that holds whatever the provider does; `None` when there is none.
pub(super) fn worst_case(kind: Kind, call: &Call, limits: &ModelLimits) -> Option<Usage> {
    let media = call.media.as_deref()?;
    match kind {
        Kind::Images | Kind::ImageEdits if is_per_picture(&call.model) => Some(pictures(call, media, call.choices)),
        // Of these models it is known what a picture can take; what one that is sent along takes, is not.
        Kind::Images if is_first_generation(&call.model) => Some(Usage {
            in_text: media.prompt_bytes,
            out_image: drawn(media).saturating_mul(call.choices),
            ..Usage::default()
        }),
        Kind::Speech if is_per_character(&call.model) => {
            Some(Usage { characters: media.characters, ..Usage::default() })
        }
        // What a recording plays is written in it by whoever made it; the model's own limits hold.
        Kind::Transcriptions if hears_tokens(&call.model) && !media.chunked => {
            Some(Usage { in_audio: limits.input?, out_text: limits.output?, ..Usage::default() })
        }
        _ => None,
    }
}

/// `body`: empty when nobody holds it.
pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8]) -> Usage {
    let usage = match (kind, call.media.as_deref()) {
        (Kind::Images | Kind::ImageEdits, Some(media)) => pictures(call, media, call.choices),
        (Kind::Speech, Some(_)) => spoken(call, body, None),
        (_, Some(media)) => heard(call, media.audio_millis.div_ceil(1000).saturating_mul(WRITTEN_PER_SECOND)),
        (_, None) => Usage::default(),
    };
    Usage { source: UsageSource::Estimated, ..usage }
}

/// So many finished pictures: by the piece, or by their usual tokens.
pub(super) fn pictures(call: &Call, media: &Media, count: u64) -> Usage {
    if is_token_picture(&call.model) {
        return Usage {
            in_text: media.prompt_bytes.div_ceil(4),
            in_image: media.pictures.saturating_mul(PICTURE),
            out_image: drawn(media).saturating_mul(count),
            source: UsageSource::Estimated,
            ..Usage::default()
        };
    }
    let told = |text: &str, usual: &'static str| match text {
        "" | "auto" if is_per_picture(&call.model) => Some(Box::from(usual)),
        "" | "auto" => None,
        text => Some(text.into()),
    };
    let image_size = told(&media.size, "1024x1024");
    let image_quality = told(&media.quality, "standard");
    Usage {
        images: count,
        // Without a size the dearest price counts, which is a guess.
        source: if image_size.is_some() { UsageSource::Upstream } else { UsageSource::Estimated },
        image_size,
        image_quality,
        ..Usage::default()
    }
}

/// Speech: its characters, and for models that count tokens those as well. `millis`: how long it plays.
pub(super) fn spoken(call: &Call, body: &[u8], millis: Option<u64>) -> Usage {
    let characters = call.media.as_deref().map_or(0, |media| media.characters);
    let usage = Usage { characters, source: UsageSource::Estimated, ..Usage::default() };
    if is_per_character(&call.model) {
        return usage;
    }
    let encoding = Encoding::of_model(&call.model);
    let text = |name: &str| member(body, name).and_then(|m| string(m.value)).map(unescape);
    let tokens = |name: &str| text(name).map_or(0, |text| encoding.count(&text));
    let millis = millis.unwrap_or_else(|| characters.saturating_mul(1000) / CHARACTERS_PER_SECOND);
    let out_audio = millis.saturating_mul(SPOKEN_PER_TEN_SECONDS).div_ceil(10_000);
    Usage { in_text: tokens("input").saturating_add(tokens("instructions")), out_audio, ..usage }
}

/// A recording that was listened to, and what was written of it.
pub(super) fn heard(call: &Call, written: u64) -> Usage {
    let millis = call.media.as_deref().map_or(0, |media| media.audio_millis);
    let usage = Usage { source: UsageSource::Estimated, ..Usage::default() };
    if hears_tokens(&call.model) {
        let in_audio = millis.saturating_mul(AUDIO_PER_SECOND).div_ceil(1000);
        return Usage { in_audio, out_text: written, ..usage };
    }
    Usage { audio_millis: millis, ..usage }
}

/// Output tokens of one picture at most, its unfinished ones included.
fn drawn(media: &Media) -> u64 {
    let (square, other) = match &*media.quality {
        "low" => LOW,
        "medium" => MEDIUM,
        _ => HIGH,
    };
    let finished = if &*media.size == "1024x1024" { square } else { other };
    finished.saturating_add(media.partial_images.saturating_mul(PARTIAL))
}

fn is_token_picture(model: &str) -> bool {
    model.starts_with("gpt-image") || model.starts_with("chatgpt-image")
}

/// Those whose pictures have one of three sizes, and that write nothing beside them.
fn is_first_generation(model: &str) -> bool {
    matches!(model, "gpt-image-1" | "gpt-image-1-mini")
}

fn is_per_picture(model: &str) -> bool {
    model.starts_with("dall-e")
}

fn is_per_character(model: &str) -> bool {
    model.starts_with("tts-")
}

fn hears_tokens(model: &str) -> bool {
    model.starts_with("gpt-4o")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ModelLimits = ModelLimits { input: Some(16_000), output: Some(2000) };

    fn call(kind: Kind, body: &str) -> Call {
        let model = member(body.as_bytes(), "model").and_then(|m| string(m.value)).map(unescape).unwrap_or_default();
        let n = member(body.as_bytes(), "n").and_then(|m| whole_number(m.value)).unwrap_or(1);
        Call { model: model.into(), choices: n, media: of_json(kind, body.as_bytes()), ..Call::default() }
    }

    #[test]
    fn pictures_are_bounded_where_their_tokens_are_known() {
        for (body, tokens) in [
            (r#"{"model":"gpt-image-1","n":2}"#, Some(2 * 6240)),
            (r#"{"model":"gpt-image-1","size":"1024x1024","quality":"low"}"#, Some(272)),
            (r#"{"model":"gpt-image-1-mini","size":"1024x1024","partial_images":3}"#, Some(4160 + 300)),
            (r#"{"model":"gpt-image-1","size":"1024x1024","qu\u0061lity":"auto"}"#, Some(4160)),
            (r#"{"model":"gpt-image-1.5","size":"1024x1024"}"#, None),
            (r#"{"model":"gpt-image-2","size":"1024x1024"}"#, None),
            (r#"{"model":"unheard-of"}"#, None),
        ] {
            let found = worst_case(Kind::Images, &call(Kind::Images, body), &LIMITS);
            assert_eq!(found.map(|u| u.out_image), tokens, "{body}");
        }
        let edit = call(Kind::ImageEdits, r#"{"model":"gpt-image-1","images":[{},{}],"prompt":"abcd"}"#);
        assert_eq!(worst_case(Kind::ImageEdits, &edit, &LIMITS), None);
        let guess = estimate(Kind::ImageEdits, &edit, b"");
        assert_eq!((guess.in_text, guess.in_image, guess.out_image), (2, 800, 6240));
        let per_piece = call(Kind::Images, r#"{"model":"dall-e-3","n":2,"size":"1024x1792","quality":"hd"}"#);
        let bound = worst_case(Kind::Images, &per_piece, &LIMITS).expect("bounded");
        assert_eq!(
            (bound.images, bound.image_size.as_deref(), bound.image_quality.as_deref()),
            (2, Some("1024x1792"), Some("hd"))
        );
    }

    #[test]
    fn speech_is_counted_in_scalar_values() {
        let one = call(Kind::Speech, r#"{"model":"tts-1","input":"Gr\u00fc\u00dfe \ud83d\ude00"}"#);
        assert_eq!(worst_case(Kind::Speech, &one, &LIMITS).map(|u| u.characters), Some(7));
        let body = r#"{"model":"gpt-4o-mini-tts","input":"Hello, world!","instructions":"Hello, world!"}"#;
        let tokens = call(Kind::Speech, body);
        assert_eq!(worst_case(Kind::Speech, &tokens, &LIMITS), None);
        // 13 characters are 866 ms; ten seconds measured are 208 tokens.
        let guess = estimate(Kind::Speech, &tokens, body.as_bytes());
        assert_eq!((guess.in_text, guess.out_audio, guess.characters), (8, 19, 13));
        assert_eq!(spoken(&tokens, body.as_bytes(), Some(10_000)).out_audio, 208);
    }

    #[test]
    fn recordings_are_bounded_by_the_model_only() {
        let media = |chunked| Some(Box::new(Media { audio_millis: 75_400, chunked, ..Media::default() }));
        let whisper = Call { model: "whisper-1".into(), media: media(false), ..Call::default() };
        assert_eq!(worst_case(Kind::Transcriptions, &whisper, &LIMITS), None);
        let guess = estimate(Kind::Transcriptions, &whisper, b"");
        assert_eq!((guess.audio_millis, guess.out_text), (75_400, 0));
        let newer = Call { model: "gpt-4o-transcribe".into(), media: media(false), ..Call::default() };
        let bound = worst_case(Kind::Transcriptions, &newer, &LIMITS).expect("bounded");
        assert_eq!((bound.in_audio, bound.out_text), (16_000, 2000));
        let guess = estimate(Kind::Transcriptions, &newer, b"");
        assert_eq!((guess.in_audio, guess.out_text, guess.audio_millis), (754, 304, 0));
        let cut = Call { media: media(true), ..newer };
        assert_eq!(worst_case(Kind::Transcriptions, &cut, &LIMITS), None);
    }
}
