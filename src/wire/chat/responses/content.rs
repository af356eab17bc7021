//! Reads the content of messages and of the results of calls: text, pictures, documents, sound.

use super::super::members::{Members, as_text, list, must_be};
use super::super::{BadRequest, CacheMark, Part, Source};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

/// Of clients: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A string, or a list of parts. Empty texts are left out.
pub(super) fn read(value: &RawValue, at: &str) -> Result<Vec<Part>, BadRequest> {
    if let Some(text) = as_text(value) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !value.get().starts_with('[') {
        return Err(must_be(at, "a string or a list"));
    }
    let mut parts = Vec::new();
    for (at, value) in list(value, at)? {
        parts.extend(part(&mut Members::of(value, at)?)?);
    }
    Ok(parts)
}

fn part(part: &mut Members<'_>) -> Result<Option<Part>, BadRequest> {
    let cache = cache_mark(part)?;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(match part.needed("type")?.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            text(part.needed("text")?).map(|text| Part::Text { text, cache, citations: Vec::new() })
        }
        "refusal" => text(part.needed("refusal")?).map(Part::text),
        "input_image" => Some(Part::Image { source: image(part)?, cache }),
        "input_file" => Some(document(part, cache)?),
        "input_audio" => {
            let missing = BadRequest::of(part.path("input_audio"), "The audio is missing.");
            let mut audio = part.object("input_audio")?.ok_or(missing)?;
            let data = audio.needed("data")?;
            Some(Part::Audio { format: audio.needed("format")?, data: canonical(&data, &audio.path("data"))? })
        }
        _ => return Err(BadRequest::unsupported(part.path("type"), "Content of this type is not supported.")),
    })
}

/// What the API itself calls a breakpoint, and what callers of other models put at the same place.
fn cache_mark(part: &mut Members<'_>) -> Result<Option<CacheMark>, BadRequest> {
    if let Some(mut mark) = part.object("cache_control")? {
        return Ok(Some(CacheMark { ttl: mark.string("ttl")? }));
    }
    Ok(part.raw("prompt_cache_breakpoint").map(|_| CacheMark::default()))
}

fn image(part: &mut Members<'_>) -> Result<Source, BadRequest> {
    refuse_stored(part)?;
    let url = part.needed("image_url")?;
    let at = part.path("image_url");
    match DataUrl::parse(&url) {
        Some(found) => Ok(Source::Data { data: canonical(found.data, &at)?, media_type: found.media_type }),
        None => remote(url, &at),
    }
}

fn document(part: &mut Members<'_>, cache: Option<CacheMark>) -> Result<Part, BadRequest> {
    refuse_stored(part)?;
    let name = part.string("filename")?.filter(|name| !name.is_empty());
    if let Some(url) = part.string("file_url")? {
        let source = remote(url, &part.path("file_url"))?;
        return Ok(Part::Document { name, source, cache });
    }
    let given = part.needed("file_data")?;
    let at = part.path("file_data");
    let (media_type, data) = match DataUrl::parse(&given) {
        Some(found) => (found.media_type, found.data),
        None => (name.as_deref().map_or("application/pdf", type_of_name).to_owned(), given.as_str()),
    };
    let data = canonical(data, &at)?;
    if media_type != "text/plain" {
        return Ok(Part::Document { name, source: Source::Data { media_type, data }, cache });
    }
    let text = LENIENT.decode(&data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| must_be(&at, "text in UTF-8, as its type says"))?;
    Ok(Part::Document { name, source: Source::Text(text), cache })
}

fn refuse_stored(part: &mut Members<'_>) -> Result<(), BadRequest> {
    match part.raw("file_id") {
        Some(_) => Err(BadRequest::unsupported(
            part.path("file_id"),
            "Stored files cannot be used here: send the content itself.",
        )),
        None => Ok(()),
    }
}

fn remote(url: String, at: &str) -> Result<Source, BadRequest> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(Source::Url(url)),
        _ => Err(must_be(at, "a data URL in base64, or an address that begins with https://")),
    }
}

struct DataUrl<'a> {
    media_type: String,
    data: &'a str,
}

impl<'a> DataUrl<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (head, data) = url.split_once(',')?;
        let (scheme, kind) = head.split_once(':')?;
        let mut words = kind.split(';').map(str::trim);
        let media_type = words.next().unwrap_or_default().to_ascii_lowercase();
        let base64 = words.next_back().is_some_and(|word| word.eq_ignore_ascii_case("base64"));
        (scheme.trim_start().eq_ignore_ascii_case("data") && base64).then_some(Self { media_type, data })
    }
}

fn canonical(data: &str, at: &str) -> Result<String, BadRequest> {
    let spaced = data.bytes().any(|byte| byte.is_ascii_whitespace());
    let decoded = if spaced {
        let dense: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        LENIENT.decode(dense)
    } else {
        LENIENT.decode(data)
    };
    decoded.map(|bytes| LENIENT.encode(bytes)).map_err(|_| must_be(at, "valid base64"))
}

/// Of a document whose content comes without its type.
fn type_of_name(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/pdf",
    }
}
